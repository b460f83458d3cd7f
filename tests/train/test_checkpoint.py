"""Checkpoint files: whole, of the right training, and harmless."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from lcp_tvm.errors import InputError
from lcp_tvm.train.checkpoint import Checkpoint

FACTS = {"seed": "0", "network": "abc"}
STATE = {"step": 3, "weights": {"a": torch.arange(4.0)}}


def test_a_state_comes_back(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "net.training" / "split.pt", FACTS)
    assert checkpoint.load() is None
    checkpoint.save(STATE)
    checkpoint.save({**STATE, "step": 4})
    state = checkpoint.load()
    assert state is not None
    assert state["step"] == 4
    assert torch.equal(state["weights"]["a"], torch.arange(4.0))
    assert [file.name for file in checkpoint.path.parent.iterdir()] == ["split.pt"]


@pytest.mark.parametrize(
    "facts", [{"seed": "1", "network": "abc"}, {"network": "abc"}, {**FACTS, "seed ": "2"}]
)
def test_another_training_is_refused_by_what_differs(tmp_path: Path, facts: dict[str, str]) -> None:
    Checkpoint(tmp_path / "split.pt", FACTS).save(STATE)
    with pytest.raises(InputError, match=r"split\.pt: belongs to a training with another seed"):
        Checkpoint(tmp_path / "split.pt", facts).load()


@pytest.mark.parametrize("wrong", [b"", b"no checkpoint", pickle.dumps({"step": 3})])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, wrong: bytes) -> None:
    (tmp_path / "split.pt").write_bytes(wrong)
    with pytest.raises(InputError, match=r"split\.pt: not a whole checkpoint .*--restart"):
        Checkpoint(tmp_path / "split.pt", FACTS).load()


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "split.pt", FACTS)
    checkpoint.save(STATE)
    whole = checkpoint.path.read_bytes()
    for length in range(0, len(whole), 97):
        checkpoint.path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="not a whole checkpoint"):
            checkpoint.load()


def test_a_flipped_bit_anywhere_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "split.pt", FACTS)
    checkpoint.save(STATE)
    whole = checkpoint.path.read_bytes()
    for place in range(0, len(whole), 97):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        checkpoint.path.write_bytes(flipped)
        with pytest.raises(InputError, match="not a whole checkpoint"):
            checkpoint.load()


class Code:
    """Runs something when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return print, ("code of a checkpoint ran",)


def test_code_in_a_state_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = Checkpoint(tmp_path / "split.pt", FACTS)
    checkpoint.save({"step": Code()})
    with pytest.raises(pickle.UnpicklingError):
        checkpoint.load()
    assert capsys.readouterr().out == ""


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"file/net\.training: cannot be made"):
        Checkpoint(tmp_path / "file" / "net.training" / "split.pt", FACTS).save(STATE)
