"""Run the command line in this process and look at what a user sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from lcp_tvm.cli import main


def refused(capfd: pytest.CaptureFixture[str], *args: object) -> str:
    """The one line on stderr of a command that must end with status 2 and nothing on stdout.

    The same command with ``--debug`` must show where it was raised.
    """
    status, out, err = outcome(capfd, *args)
    assert (status, out) == (2, ""), err
    assert err.startswith("lcp-tvm: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    status, _, trace = outcome(capfd, "--debug", *args)
    assert status == 2
    assert "Traceback" in trace
    return err.removeprefix("lcp-tvm: ").rstrip("\n")


def outcome(capfd: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr, of this process and of native code in it."""
    capfd.readouterr()
    status = main([str(arg) for arg in args])
    out, err = capfd.readouterr()
    return status, out, err


def files_in(folder: Path) -> list[str]:
    """Names of all files below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
