"""The search for a convolution's choice, with times that the tests make up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tvm import relax
from tvm.relax import op as R

from lcp_tvm.cpu.blocked import Blocked, Halo
from lcp_tvm.cpu.dot import DOTS
from lcp_tvm.cpu.kernels.conv import Conv
from lcp_tvm.cpu.kernels.conv_int8 import Int8Conv, Int8Tile
from lcp_tvm.cpu.processor import PROCESSORS
from lcp_tvm.cpu.templates import Choice, choices_of
from lcp_tvm.cpu.tune import BATCH, GAIN, jobs_of, tune
from tests.cpu.float_nets import Layers, float_net
from tests.cpu.integer_nets import Layers as IntegerLayers
from tests.cpu.integer_nets import integer_net

CORE = PROCESSORS["x86-64-v4"].core
DATA = Blocked(1, 64, 30, 30, 16, Halo(1, 1, 1, 1))
CONV = Conv(DATA, Blocked(1, 64, 30, 30, 16), (3, 3), (1, 1), (1, 1), (1, 1), 1, ())
CHOICES = choices_of(CONV, CORE)


@dataclass
class Stopwatch:
    """Says what calls take; its clock ticks once a batch."""

    seconds: Callable[[Choice], float]
    batches: list[Sequence[Choice]] = field(default_factory=list)

    def measure(self, _: Conv, choices: Sequence[Choice], __: float) -> list[float]:
        self.batches.append(choices)
        return [self.seconds(choice) for choice in choices]

    def clock(self) -> float:
        return float(len(self.batches))


def test_the_models_choice_stays_where_nothing_is_faster() -> None:
    watch = Stopwatch(lambda choice: 1.0 if choice == CHOICES[0] else GAIN + 0.01)
    found = tune(CONV, CORE, watch.measure, 60, clock=watch.clock)
    assert (found.after, found.after_s, found.before_s) == (CHOICES[0], 1.0, 1.0)
    assert len(watch.batches) == 1


def test_batches_go_on_as_long_as_they_bring_something() -> None:
    last = CHOICES[2 * BATCH]
    times = {CHOICES[0]: 9.0, CHOICES[3]: 8.0, CHOICES[BATCH + 2]: 7.0, last: 1.0}
    watch = Stopwatch(lambda choice: times.get(choice, 10.0))
    found = tune(CONV, CORE, watch.measure, 60, clock=watch.clock)
    assert (found.before, found.after, found.after_s) == (CHOICES[0], last, 1.0)
    assert watch.batches[1][0] == CHOICES[3]  # the best so far is measured again


def test_ends_in_time() -> None:
    watch = Stopwatch(lambda choice: 1.0 / (1 + CHOICES.index(choice)))
    found = tune(CONV, CORE, watch.measure, 2, clock=watch.clock)
    assert found.measured == 2 * (BATCH - 1) + 1 < len(CHOICES)


def test_what_is_known_is_measured_first() -> None:
    known = CHOICES[-1]
    watch = Stopwatch(lambda choice: 0.5 if choice == known else 1.0)
    found = tune(CONV, CORE, watch.measure, 0, known, clock=watch.clock)
    assert found.after == known
    assert tuple(watch.batches[0][:2]) == (CHOICES[0], known)


def test_a_gain_must_be_there_twice() -> None:
    lucky = CHOICES[1]
    watch = Stopwatch(lambda choice: 0.5 if choice == lucky and len(watch.batches) == 1 else 1.0)
    assert tune(CONV, CORE, watch.measure, 60, clock=watch.clock).after == CHOICES[0]


def test_layers_of_bytes_are_tuned_too() -> None:
    def body(net: IntegerLayers, x: relax.Var) -> relax.Expr:
        first = net.finish(net.conv(net.entry(x), 16))
        return net.exit(net.finish(net.conv(first, 16)))

    module = integer_net(body, (1, 16, 8, 8))
    for name, dot in DOTS.items():
        (job,) = jobs_of(module, PROCESSORS[name])
        assert isinstance(job.conv, Int8Conv)
        assert (job.count, job.conv.dot.name) == (2, dot.name)
        choices = choices_of(job.conv, PROCESSORS[name].core)
        assert len(choices) == len(set(choices)) > 1
        assert {type(choice) for choice in choices} == {Int8Tile}


def test_layers_of_one_shape_are_one_job() -> None:
    def body(layers: Layers, x: relax.Var) -> relax.Expr:
        first = layers.biased(layers.biased(x, 32), 32)
        return layers(R.nn.relu(layers.conv(first, 32, 1)))

    jobs = jobs_of(float_net(body, (1, 32, 8, 8)), PROCESSORS["x86-64-v4"])
    assert [(job.count, job.conv.kernel) for job in jobs] == [(2, (3, 3)), (1, (1, 1))]
