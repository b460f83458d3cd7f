"""Plans and clusters whose times can be worked out by hand.

A multiply-accumulate takes 1 ms; an element is a byte, and takes 1 ms to send unless said
otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from lcp_tvm.plan.plan import Cost, Device, Fallback, Function, Plan, Region, Task, Tensor
from lcp_tvm.predict.cluster import Cluster, Jitter, Medium, Network
from lcp_tvm.predict.cluster import Device as Machine
from lcp_tvm.predict.kinds import Kind
from lcp_tvm.predict.prediction import Prediction

KIND = Kind(
    name="test",
    clock_mhz=100,
    cores=4,
    float32_macs=1e3,
    int8_macs=1e3,
    elements=1e3,
    extra_core=0.5,
    overhead_ms=0.0,
    memory_mb=1,
)

Step = tuple[Task, dict[str, Function]]
Log = list[tuple[str, float, float]]


def region(tensor: str, begin: int, end: int) -> Region:
    """Bytes ``begin`` to ``end`` of a tensor."""
    return Region(tensor, ((begin, end),))


def task(
    name: str,
    ms: int,
    reads: Sequence[Region],
    writes: Sequence[Region],
    device: Device | None = None,
    *,
    needs: int | None = None,
    fallback: tuple[int, Sequence[Region]] | None = None,
    weight_bytes: int = 0,
    peak_bytes: int = 0,
) -> Step:
    """A task and its functions; the fallback has a time and its reads."""
    results = tuple(map(_tensor, writes))

    def function(took: int, regions: Sequence[Region]) -> Function:
        cost = Cost(macs=took, weight_bytes=weight_bytes, peak_bytes=peak_bytes)
        return Function(tuple(map(_tensor, regions)), results, cost)

    functions = {name: function(ms, reads)}
    other = None
    if fallback is not None:
        other = Fallback(f"{name}_alone", tuple(fallback[1]))
        functions[other.function] = function(*fallback)
    return Task(name, name, tuple(reads), tuple(writes), device, needs, other), functions


def plan(*steps: Step, output: str = "y", devices: int = 1, replicas: int = 1) -> Plan:
    """A plan whose input is x; tensors are as large as the largest region of them."""
    sizes: dict[str, int] = {}
    functions: dict[str, Function] = {}
    for step, own in steps:
        functions |= own
        alone = step.fallback.reads if step.fallback else ()
        for part in (*step.reads, *alone, *step.writes):
            sizes[part.tensor] = max(sizes.get(part.tensor, 0), part.box[0][1])
    return Plan(
        name="net",
        split="by hand",
        tensors={name: Tensor((size,), "int8") for name, size in sizes.items()},
        inputs=("x",),
        outputs=(output,),
        functions=functions,
        tasks=tuple(step for step, _ in steps),
        devices=devices,
        replicas=replicas,
    )


def cluster(
    devices: int,
    *,
    medium: Medium = "switched",
    bytes_per_ms: float = 1.0,
    latency_ms: float = 0.0,
    hops: int = 1,
    jitter: Jitter | None = None,
    gateway: bool = False,
    sources: tuple[int, ...] = (0,),
) -> Cluster:
    """Equal devices d0, d1, ... and perhaps a gateway of its own."""
    machines = [Machine(name, KIND, 1, 100, 1) for name in _names(devices)]
    network = Network(medium, 8e-3 * bytes_per_ms, latency_ms, hops, jitter or Jitter())
    own = Machine("gateway", KIND, 1, 100, 1) if gateway else None
    return Cluster("test", tuple(machines), network, own, sources)


def log(prediction: Prediction, *lanes: str) -> Log:
    """What happened on some lanes, compute if none is named: (what, begin, end) in ms, by time."""
    spans = [span for span in prediction.spans if span.lane in (lanes or ("compute",))]
    rows = [
        (f"{s.device}: {s.name}", round(s.start_us / 1e3, 6), round(s.end_us / 1e3, 6))
        for s in spans
    ]
    return sorted(rows, key=lambda row: (row[1], row[2], row[0]))


def _names(devices: int) -> list[str]:
    return [f"d{number}" for number in range(devices)]


def _tensor(part: Region) -> Tensor:
    return Tensor((part.size,), "int8")
