"""Choices of CPU kernels in a database of tunings (`lcp_tvm/tunings.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lcp_tvm.cpu.core import Core
from lcp_tvm.cpu.kernels.conv import Conv
from lcp_tvm.cpu.kernels.conv_int8 import Int8Conv
from lcp_tvm.cpu.processor import Processor
from lcp_tvm.cpu.templates import TEMPLATES, Choice, choices_of, choose, template_of
from lcp_tvm.facts import FactsError, facts_of, from_facts
from lcp_tvm.tunings import Line, Tunings, store_line

TEMPLATE = 1
"""Raised when a choice comes to mean other code."""

SHIPPED = Path(__file__).with_name("tuned")


@dataclass(frozen=True, slots=True)
class Layer:
    """What the best choice of a convolution depends on.

    Attributes
    ----------
    lanes : of the map that is read; 1 is a picture of few channels.
    height, width : of the result.
    shared : whether other functions read the weights too.
    products : what is multiplied: float32, or bytes by the instruction of a `Dot`.
    """

    batch: int
    inputs: int
    outputs: int
    height: int
    width: int
    lanes: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    shared: bool
    products: str

    @classmethod
    def of(cls, conv: Conv) -> Layer:
        """Return a convolution's layer."""
        data, out = conv.data, conv.out
        return cls(
            data.batch,
            data.channels,
            out.channels,
            out.height,
            out.width,
            data.lanes,
            conv.kernel,
            conv.strides,
            conv.dilation,
            conv.groups,
            conv.shared,
            conv.dot.name if isinstance(conv, Int8Conv) else "float32",
        )


@dataclass(frozen=True, slots=True)
class Tuning:
    """The best choice that is known for a layer.

    Attributes
    ----------
    cpu : what the code was generated for, as `code_of` names it.
    where : the machine that it was measured on, by its processor's own name.
    ns, model_ns : what a call took, of this choice and of the one that the model makes.
    """

    cpu: str
    where: str
    layer: Layer
    choice: Choice
    ns: int
    model_ns: int

    @property
    def line(self) -> Line:
        """The tuning as a line of the database."""
        key = {"template": TEMPLATE, "cpu": self.cpu, "processor": self.where}
        return {
            "for": key | {"layer": facts_of(self.layer)},
            "choice": {"template": template_of(self.choice)[0]} | facts_of(self.choice),
            "ns": self.ns,
            "model_ns": self.model_ns,
        }


def code_of(processor: Processor) -> str:
    """Return the name of a processor's code, but for products of bytes; several may share it."""
    return processor.mcpu or processor.name


def shipped_tunings(processors: Iterable[Processor]) -> Tunings:
    """Return what this version of lcp-tvm ships for processors."""
    text = ""
    for cpu in sorted({code_of(processor) for processor in processors}):
        path = SHIPPED / f"{cpu}.jsonl"
        text += path.read_text() if path.exists() else ""
    return Tunings(text, str(SHIPPED))


def cpu_tunings(tunings: Tunings, processor: Processor, where: str = "") -> dict[Layer, Tuning]:
    """Return what a database has for code of a processor.

    Parameters
    ----------
    where : the machine whose measurements are preferred; of layers that were not measured there,
        those of the first machine in the database are taken.

    Raises
    ------
    InputError
        A line is no tuning.
    """
    found: dict[Layer, Tuning] = {}
    for line in tunings.lines():
        key = line["for"]
        if key.get("template") == TEMPLATE and key.get("cpu") == code_of(processor):
            tuning = _read(line)
            if tuning is not None and (tuning.layer not in found or tuning.where == where):
                found[tuning.layer] = tuning
    return found


@dataclass(slots=True)
class Chooser:
    """Chooses as is known, as long as the core can do that, or else by the model.

    Attributes
    ----------
    asked, tuned : convolutions it has chosen for, and those of them whose choice was known.
    """

    known: Mapping[Layer, Tuning]
    core: Core
    asked: int = 0
    tuned: int = 0

    def __call__(self, conv: Conv) -> Choice:
        """Return a convolution's choice."""
        self.asked += 1
        tuning = self.known.get(Layer.of(conv))
        if tuning is not None and tuning.choice in choices_of(conv, self.core):
            self.tuned += 1
            return tuning.choice
        return choose(conv, self.core)


def store_tuning(path: Path, tuning: Tuning) -> None:
    """Put a tuning into a database, in place of an older one.

    Raises
    ------
    InputError
        The database is corrupt, or cannot be written.
    """
    store_line(path, tuning.line, lambda known: True)


def _read(line: Line) -> Tuning | None:
    """Return a line's tuning, or None if it is of a version with other fields."""
    key: Mapping[str, Any] = line["for"]
    choice: dict[str, Any] = dict(line["choice"])
    template = TEMPLATES.get(str(choice.pop("template", None)))
    if template is None or type(key.get("processor")) is not str:
        return None
    try:
        layer = from_facts(Layer, key.get("layer"))
        made: Choice = from_facts(template.choice, choice)
    except FactsError:
        return None
    return Tuning(key["cpu"], key["processor"], layer, made, line["ns"], line["model_ns"])
