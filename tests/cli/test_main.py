"""The command line as a whole: help, version, interruption, defects."""

import importlib.metadata
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lcp_tvm.cli import cli, main
from tests.cli.refused import outcome

Capture = pytest.CaptureFixture[str]
COMMANDS = (
    "bench",
    "board",
    "camera",
    "compare",
    "compile",
    "demo",
    "dump",
    "predict",
    "report",
    "run",
    "tracker",
    "train",
    "tune",
    "worker",
)


def test_commands() -> None:
    assert tuple(sorted(cli.commands)) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capfd: Capture, command: str) -> None:
    status, out, err = outcome(capfd, command, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: lcp-tvm {command}")
    assert "--debug" in out


@pytest.mark.parametrize("command", ["compile", "dump", "predict", "report", "run", "train"])
def test_reporting_commands_have_json_and_examples(capfd: Capture, command: str) -> None:
    _, out, _ = outcome(capfd, command, "--help")
    assert "--json" in out
    assert f"  lcp-tvm {command} net." in out


def test_version(capfd: Capture) -> None:
    version = importlib.metadata.version("lcp-tvm")
    assert outcome(capfd, "--version") == (0, f"lcp-tvm, version {version}\n", "")


def test_a_wrong_option_has_status_2(capfd: Capture) -> None:
    status, out, err = outcome(capfd, "report", "--jsn", "x.lcp")
    assert (status, out) == (2, "")
    assert "No such option" in err


@pytest.mark.parametrize("command", ["compile", "train"])
def test_help_loads_nothing_heavy(command: str) -> None:
    """TVM alone takes seconds to import."""
    code = (
        f"import sys; from lcp_tvm.cli import main; main(['{command}', '--help']); "
        "heavy = {'tvm', 'tvm_ffi', 'onnx', 'onnxruntime', 'numpy', 'torch'} & set(sys.modules); "
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_has_the_shells_status(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lcp_tvm.package.read_package", interrupted)
    status, out, err = outcome(capfd, "report", "x.lcp")
    assert (status, out) == (130, "")
    assert err.strip() == "lcp-tvm: interrupted"


def test_ctrl_c_in_a_callback_of_tvm(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """TVM hands the interruption on as a RuntimeError."""

    def interrupted(_: Path) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError from None

    monkeypatch.setattr("lcp_tvm.package.read_package", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    status, _, err = outcome(capfd, "report", "x.lcp")
    assert (status, err) == (130, "lcp-tvm: interrupted\n")
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("lcp_tvm.package.read_package", broken)
    with pytest.raises(ZeroDivisionError):
        main(["report", "x.lcp"])


def test_debug_may_come_before_or_after_the_command(capfd: Capture, tmp_path: Path) -> None:
    for args in (["--debug", "report"], ["report", "--debug"]):
        status, _, err = outcome(capfd, *args, tmp_path / "no.lcp")
        assert status == 2
        assert "Traceback" in err
