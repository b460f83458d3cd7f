"""The flow: a float or QDQ network to a plan, CPU code and VTA programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tvm

from lcp_tvm.grouping import group_functions
from lcp_tvm.lower import CompiledModule, lower_group
from lcp_tvm.network import Network
from lcp_tvm.plan.plan import Plan
from lcp_tvm.plan.validate import validate
from lcp_tvm.quantise import LayerNoise, check_qdq, is_qdq, quantise
from lcp_tvm.relay_passes.batch_frames import batch_frames
from lcp_tvm.relay_passes.lower_qdq import lower_qdq
from lcp_tvm.relay_passes.take_pixels import take_pixels
from lcp_tvm.split_text import Lcp, SplitSpec, Whole
from lcp_tvm.splitting import lcp_network, plan_network
from lcp_tvm.targets import Targets
from lcp_tvm.tunings import NO_TUNINGS, Tunings
from lcp_tvm.vta.config import load_config

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction of the whole that is finished."""

_QUANTISED = 0.45
"""Fraction of a compile that quantisation usually takes, and the steps it reports."""

_QUANTISE_STEPS = 5
_PLANNED = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """All that a package holds.

    Attributes
    ----------
    network : in float or QDQ; of an LCP split, the branches.
    integer : the integer Relax module before splitting, None where the network stays in float.
    frames : that a call takes together.
    plan : with the simulator's times of functions on VTA.
    """

    network: Network
    targets: Targets
    integer: tvm.IRModule | None
    plan: Plan
    modules: tuple[CompiledModule, ...]
    noise: tuple[LayerNoise, ...]
    messages: tuple[str, ...]
    frames: int = 1

    @property
    def reasons(self) -> tuple[str, ...]:
        """One line per operator that is not on the VTA."""
        return tuple(dict.fromkeys(line for made in self.modules for line in made.reasons))


def compile_network(
    network: Network,
    targets: Targets,
    calibration: np.ndarray | None = None,
    *,
    split: SplitSpec | None = None,
    pixels: bool = False,
    frames: int = 1,
    tunings: Tunings = NO_TUNINGS,
    progress: Progress | None = None,
) -> Compiled:
    """Compile a network, each function of its plan for the devices that run it.

    For VTA the network becomes int8, from calibration pictures or as its QDQ nodes say. For CPUs
    alone it stays in float unless it has QDQ nodes or calibration pictures are given. It is
    quantised before it is split, so that every split but LCP gives the bits of the whole.

    Parameters
    ----------
    calibration : float32 ``[N, C, H, W]``, preprocessed; None quantises from noise on VTA.
    split : None for the whole network as one task.
    pixels : the plan takes uint8, 0 to 255, and normalises them where they are read.
    frames : pictures that a call of the network takes together.
    tunings : of layers; the messages say how many are used, and the database's hash.

    Raises
    ------
    ModelError
        If the network cannot be quantised or compiled, or not for several frames.
    PlanError
        If it cannot be split so.
    """
    report = progress or (lambda what, fraction: None)
    spec = split or Whole()
    if isinstance(spec, Lcp):
        network = lcp_network(network, spec)
    report("quantising", 0.0)
    integer, noise, messages = to_integer(network, targets, calibration, report)
    report("splitting", _QUANTISED)
    module = integer if integer is not None else network.module
    if pixels:
        values = network.preprocess
        module = take_pixels(module, values.scale, values.mean, values.std)
    if frames > 1:
        module = batch_frames(module, frames)
    planned = plan_network(module, network.name, spec)
    groups = group_functions(planned.plan, targets)
    modules: list[CompiledModule] = []
    count = sum(len(group.functions) for group in groups)
    done = 0
    for group in groups:
        start = _PLANNED + (1 - _PLANNED) * done / count
        share = (1 - _PLANNED) * len(group.functions) / count
        modules.append(
            lower_group(
                group,
                planned.functions,
                lambda what, part, start=start, share=share: report(what, start + share * part),  # type: ignore[misc]
                tunings,
            )
        )
        done += len(group.functions)
    plan = with_measurements(planned.plan, modules)
    validate(plan)
    messages = *messages, *_tuned_messages(modules, tunings)
    report("done", 1.0)
    return Compiled(network, targets, integer, plan, tuple(modules), noise, messages, frames)


def _tuned_messages(modules: Sequence[CompiledModule], tunings: Tunings) -> Iterator[str]:
    """Say how many layers are as a database says."""
    database = f"of the database with SHA-256 {tunings.sha256}"
    on_vta = [
        layer["tuned"]
        for module in modules
        for program in module.header.get("programs", [])
        for layer in program["layers"]
        if "tuned" in layer
    ]
    tuned, convolutions = (sum(counts) for counts in zip(*(m.tuned for m in modules), strict=True))
    if tunings.text and on_vta:
        yield f"{sum(on_vta)} of {len(on_vta)} VTA layers have tilings {database}"
    if tunings.text and convolutions:
        yield f"{tuned} of {convolutions} convolutions on CPUs have kernels {database}"


def with_measurements(plan: Plan, modules: list[CompiledModule]) -> Plan:
    """Return the plan with the simulator's times of its functions, by the VTA config's name."""
    measured: dict[str, dict[str, float]] = {}
    for module in modules:
        if module.target.vta is not None:
            kind = load_config(module.target.vta).name
            for name, milliseconds in module.measured_ms.items():
                measured.setdefault(name, {})[kind] = milliseconds
    functions = {
        name: replace(function, measured_ms=measured.get(name, {}))
        for name, function in plan.functions.items()
    }
    return replace(plan, functions=functions)


def to_integer(
    network: Network, targets: Targets, calibration: np.ndarray | None, report: Progress
) -> tuple[tvm.IRModule | None, tuple[LayerNoise, ...], tuple[str, ...]]:
    """Quantise a network if its targets, its QDQ nodes or calibration pictures want it.

    Returns
    -------
    The integer network, or None; the noise of its layers; what there is to say.

    Raises
    ------
    ModelError
        If the network cannot be quantised.
    """
    if is_qdq(network.module):
        check_qdq(network.module)
        return lower_qdq(network.module), (), ()
    on_vta = any(target.vta for target in (targets.default, *targets.others.values()))
    if not on_vta and calibration is None:
        return None, (), ()
    steps: dict[str, int] = {}

    def tick(step: str, part: float) -> None:
        done = steps.setdefault(step, len(steps)) + part
        report(step, _QUANTISED * min(done / _QUANTISE_STEPS, 1.0))

    quantised = quantise(network, calibration, progress=tick)
    return lower_qdq(quantised.module), quantised.table, quantised.messages
