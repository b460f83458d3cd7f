"""What is trained, in which order, by which command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

BRANCHES = (2, 4, 8)
FATTENED = (10, 20, 30, 40)
UNDERFIT = ("lenet", "resnet")
"""Small networks, or without wide dense layers: narrow ones learn shifted pictures badly, so that
they get pictures as they are, and the original's answers beside the labels."""
SLOW = ("lenet",)
"""Whose branches, of few channels, still learn when others have learnt all they can."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A kind of network.

    Attributes
    ----------
    model : the variant that it is made of, None for an untrained network.
    options : of ``lcp-tvm train``.
    patience : how many times the epochs of others it is trained.
    slow_patience : the same of SLOW networks, if more.
    """

    model: str | None
    options: tuple[str, ...]
    patience: int = 1
    slow_patience: int = 1


def _variants() -> Iterator[tuple[str, Variant]]:
    yield "original", Variant(None, ("--split", "none", "--from-scratch", "--labels"))
    for branches in BRANCHES:
        slow = 1 if branches == 2 else 3
        name = f"split{branches}"
        split = ("--split", f"lcp:{branches}", "--fatten", "0")
        yield name, Variant("original", (*split, "--labels"))
        for percent in FATTENED:
            options = (*split[:-1], str(percent), "--labels")
            yield f"{name}-f{percent}", Variant("original", options, slow_patience=slow)
        yield f"{name}-distilled", Variant("original", split, patience=2)
        yield f"{name}-int8", Variant(name, (*split, "--labels", "--qat"))
        pruned = (*split, "--labels", "--prune", "0.45")
        yield f"{name}-pruned45", Variant(name, pruned, slow_patience=slow)


VARIANTS = dict(_variants())


@dataclass(frozen=True, slots=True)
class Run:
    """One row of the table."""

    network: str
    variant: str
    seed: int

    @property
    def file(self) -> str:
        """Name of the trained network's file."""
        return f"{self.network}-{self.variant}-{self.seed}.onnx"

    @property
    def model(self) -> Run | None:
        """What it is made of, None for an untrained network."""
        model = VARIANTS[self.variant].model
        return None if model is None else Run(self.network, model, self.seed)

    @property
    def model_file(self) -> str:
        """Name of the file that training begins with."""
        return Run(self.network, "untrained", self.seed).file if not self.model else self.model.file

    @property
    def patience(self) -> int:
        """How many times the epochs of others it is trained."""
        variant = VARIANTS[self.variant]
        return max(variant.patience, variant.slow_patience if self.network in SLOW else 1)

    def command(self, data: str, settings: Sequence[str]) -> list[str]:
        """Return the command line that trains it, in the folder of all files.

        Parameters
        ----------
        settings : options that all runs have.
        """
        options = (*VARIANTS[self.variant].options, *self._against_underfit())
        return ["lcp-tvm", "train", self.model_file, *options, "--data", data, "--test", data,
                *settings, "--seed", str(self.seed), "-o", self.file]  # fmt: skip

    def _against_underfit(self) -> list[str]:
        if self.network not in UNDERFIT or self.model is None:
            return []
        teacher = Run(self.network, "original", self.seed).file
        return ["--augment", "none", "--teacher", teacher]


_SPLITS = tuple(f"split{branches}" for branches in BRANCHES)
_FIRST = ("original", *_SPLITS, "split8-f40", *(f"{name}-distilled" for name in _SPLITS))
_SMALLER = tuple(f"{name}-{kind}" for kind in ("int8", "pruned45") for name in _SPLITS)
_JUDGED = ("cifarnet", "resnet")


def all_runs() -> tuple[Run, ...]:
    """Return all runs: first what the claims rest on, then the demo's, then what is spread."""
    return tuple(
        dict.fromkeys(
            (
                *_block(_JUDGED, _FIRST, (1,)),
                *_block(("lenet",), _FIRST, (1,)),
                *_block(("vgg",), ("original", "split2"), (1,)),
                *_block(_JUDGED, _SMALLER, (1,)),
                *_block((*_JUDGED, "lenet"), _FIRST, (2, 3)),
                *_block(_JUDGED, _SMALLER, (2, 3)),
                *_block((*_JUDGED, "lenet", "vgg"), VARIANTS, (1, 2, 3)),
            )
        )
    )


def _block(networks: Iterable[str], variants: Iterable[str], seeds: Iterable[int]) -> list[Run]:
    names = tuple(networks)
    return [Run(net, variant, seed) for seed in seeds for variant in variants for net in names]
