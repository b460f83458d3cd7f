"""``lcp-tvm tune --target cpu``: how the convolutions of a network are computed fastest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcp_tvm.compiler import to_integer
from lcp_tvm.cpu.kernels.winograd import Winograd
from lcp_tvm.cpu.measure import TIMED, Array, Bench, Machine, ThisMachine
from lcp_tvm.cpu.processor import this_processor
from lcp_tvm.cpu.target import Target
from lcp_tvm.cpu.templates import Choice
from lcp_tvm.cpu.tune import Found, jobs_of, tune
from lcp_tvm.cpu.tunings import Layer, Tuning, code_of, cpu_tunings, store_tuning
from lcp_tvm.errors import InputError
from lcp_tvm.facts import facts_of
from lcp_tvm.frontend.load import load_network
from lcp_tvm.pictures import load_calibration
from lcp_tvm.rpc.control import FarNode
from lcp_tvm.rpc.session import WorkerSession, parse_address
from lcp_tvm.split_text import Lcp, parse_split
from lcp_tvm.splitting import lcp_network, plan_network
from lcp_tvm.targets import Targets
from lcp_tvm.tunings import Tunings, read_tunings

if TYPE_CHECKING:
    import tvm
    from rich.table import Table

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Row:
    """A layer and what was found for it; equal layers of the network are one."""

    layer: Layer
    count: int
    found: Found

    @property
    def json(self) -> dict[str, Any]:
        """The row for ``--json``."""
        return {
            "layer": facts_of(self.layer),
            "count": self.count,
            "measured": self.found.measured,
            "before": {"us": 1e6 * self.found.before_s, "choice": facts_of(self.found.before)},
            "after": {"us": 1e6 * self.found.after_s, "choice": facts_of(self.found.after)},
        }


@dataclass(frozen=True, slots=True)
class Source:
    """What is tuned, as options of ``compile`` say it.

    Attributes
    ----------
    split : whose functions are tuned.
    calibrate : pictures by which the network becomes int8, unless it has QDQ nodes.
    """

    model: Path
    split: str = "none"
    calibrate: Path | None = None

    def functions(self, target: Target, progress: Progress) -> tvm.IRModule:
        """Return the functions that are compiled.

        Raises
        ------
        InputError
            A file cannot be read.
        ModelError, PlanError
            The network cannot be quantised or split.
        """
        network, spec = load_network(self.model), parse_split(self.split)
        pictures = None
        if self.calibrate is not None:
            pictures = load_calibration(self.calibrate, network.preprocess, network.input_shape)
        if isinstance(spec, Lcp):
            network = lcp_network(network, spec)
        integer, _, _ = to_integer(network, Targets(target), pictures, progress)
        module = network.module if integer is None else integer
        return plan_network(module, network.name, spec).functions


def tune_network(
    source: Source,
    target: Target,
    worker: str | None,
    seconds: float,
    database: Path,
    progress: Progress,
) -> list[Row]:
    """Tune a network's convolutions and store what is found, layer by layer.

    Parameters
    ----------
    worker : address of the machine to measure on; None for this one.
    seconds : for each layer.

    Raises
    ------
    InputError
        The machine does not run the target's code, or there is nothing to tune.
    """
    core = target.processor.core
    jobs = jobs_of(source.functions(target, progress), target.processor)
    if not jobs:
        raise InputError(f"{source.model}: no convolution has choices on a CPU")
    with _machine(worker, target) as (machine, where):
        known = cpu_tunings(
            read_tunings(database) if database.exists() else Tunings(), target.processor, where
        )
        bench = Bench(target, machine)
        rows = []
        for number, job in enumerate(jobs):
            layer = Layer.of(job.conv)
            progress(f"tuning {_text(layer)}"[:24], number / len(jobs))
            choice = known[layer].choice if layer in known else None
            found = tune(job.conv, core, bench.measure, seconds, choice)
            rows.append(Row(layer, job.count, found))
            store_tuning(database, _tuning(target, where, rows[-1]))
    return rows


def layers_table(rows: Sequence[Row], target: Target) -> Table:
    """Return the layers, and the sum over all of the network's."""
    from rich.table import Table

    title = f"Measured, each layer alone, code for {target.processor.name}"
    made = Table(title=title, title_justify="left", box=None, pad_edge=False)
    made.add_column("layer", overflow="fold")
    for heading in ("layers", "us before", "after", "gain"):
        made.add_column(heading, justify="right")
    made.add_column("choice", overflow="fold")
    before = after = 0.0
    for row in rows:
        found = row.found
        made.add_row(
            _text(row.layer),
            str(row.count),
            f"{1e6 * found.before_s:,.0f}",
            f"{1e6 * found.after_s:,.0f}",
            f"{1 - found.after_s / found.before_s:.1%}",
            _choice_text(found.after),
        )
        before += row.count * found.before_s
        after += row.count * found.after_s
    made.add_section()
    layers = str(sum(row.count for row in rows))
    made.add_row(
        "all", layers, f"{1e6 * before:,.0f}", f"{1e6 * after:,.0f}", f"{1 - after / before:.1%}"
    )
    return made


class _Worker:
    """A session as a machine to measure on."""

    def __init__(self, session: WorkerSession) -> None:
        self._session = session

    def load(self, library: Path) -> Callable[..., int]:
        """Return a library's function ``lcp_timed``."""
        return self._session.load_library(library, TIMED)

    def tensor(self, array: Array) -> Any:
        """Copy an array there."""
        return self._session.upload_tensor(array)


@contextmanager
def _machine(worker: str | None, target: Target) -> Iterator[tuple[Machine, str]]:
    """Return the machine to measure on, and its processor's name."""
    if worker is None:
        _check_runs(target, this_processor(), "this machine", "; give --worker HOST:PORT")
        yield ThisMachine(), _this_name()
        return
    with WorkerSession.connect(*parse_address(worker)) as session:
        found = FarNode(session).hello().processor
        _check_runs(target, found, f"worker {worker}", "")
        yield _Worker(session), found


def _check_runs(target: Target, found: str, machine: str, advice: str) -> None:
    if not target.processor.runs_on(found):
        raise InputError(
            f"--target {target.text}: {machine} is {found} and does not run code for "
            f"{target.processor.name}{advice}"
        )


def _this_name() -> str:
    """Return this machine's processor in its own words, or else in ours."""
    with suppress(OSError), Path("/proc/cpuinfo").open() as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return this_processor()


def _tuning(target: Target, where: str, row: Row) -> Tuning:
    found = row.found
    ns, model_ns = (max(1, round(1e9 * seconds)) for seconds in (found.after_s, found.before_s))
    return Tuning(code_of(target.processor), where, row.layer, found.after, ns, model_ns)


def _text(layer: Layer) -> str:
    """Return a layer in a few words."""
    kernel, strides = "x".join(map(str, layer.kernel)), layer.strides
    stride = f" stride {strides[0]}" if strides != (1, 1) else ""
    groups = f" groups {layer.groups}" if layer.groups > 1 else ""
    size = f"{layer.outputs}x{layer.height}x{layer.width}"
    dtype = "" if layer.products == "float32" else " int8"
    return f"{kernel}{stride}{groups} {layer.inputs} -> {size}{dtype}"


def _choice_text(choice: Choice) -> str:
    """Return a choice in a few words."""
    if isinstance(choice, Winograd):
        tile = choice.tile
        return f"Winograd {choice.outputs}x{choice.outputs}, {_choice_text(tile)}"
    return f"{choice.columns} pixels x {choice.blocks}"
