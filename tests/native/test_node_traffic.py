"""What nodes send each other: the regions that the predictor counts, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import pytest

from lcp_tvm.plan.pieces import find_reads
from lcp_tvm.plan.plan import Plan, Policy, Region
from lcp_tvm.predict.wiring import Message, wire
from tests.native.nodes import Nodes, a_frame, nodes
from tests.plan.plans import a_map, a_plan, a_task, branches, chain, layers, reuse, strips, tiles

DEVICES, GATEWAY, CLIENT = 3, 3, 4
HEAD_BYTES = 48 + 4 * 8
"""Of a message that holds a region of four dimensions."""

Traffic = Counter[tuple[int, int]]


def sent(some: Nodes) -> Traffic:
    """Return the bytes of regions that went from node to node; the client is at the gateway."""
    found: Traffic = Counter()
    for number, spans in enumerate(some.spans()):
        for lane, _, _, peer, _, _, nbytes in spans:
            if lane == "send" and number != CLIENT:
                found[number, GATEWAY if peer == CLIENT else peer] += nbytes - HEAD_BYTES
    return +Counter({pair: nbytes for pair, nbytes in found.items() if pair[0] != pair[1]})


def predicted(plan: Plan, places: Iterable[int], source: int, *, relay: bool) -> Traffic:
    """Return what the predictor's messages weigh."""
    wiring = wire(plan, find_reads(plan), list(places), source, GATEWAY, relay=relay)
    found: Traffic = Counter()

    def count(messages: Iterable[Message]) -> None:
        for message in messages:
            if message.source != message.target:
                found[message.source, message.target] += message.nbytes
            count(message.onward)

    count(wiring.first)
    for messages in wiring.after:
        count(messages)
    return found


@pytest.mark.parametrize(
    ("plan", "policy"),
    [
        (tiles(3, 3, devices=3), "static"),
        (branches(3), "static"),
        (strips(3, 3), "static"),
        (layers(3, 2), "static"),
        (chain(3), "static"),
        (tiles(3, 3), "sharing"),
        (strips(3, 3), "sharing"),
        (layers(3, 3, channels=33), "sharing"),
    ],
    ids=lambda value: getattr(value, "split", value),
)
def test_messages_hold_what_the_predictor_says(plan: Plan, policy: Policy) -> None:
    with nodes(plan, DEVICES, trace=True) as some:
        route = some.route(policy, source=1)
        some.begin(route, a_frame(plan))
        some.outputs()
        assert sent(some) == predicted(plan, route.places, 1, relay=policy == "sharing")


def test_the_gateway_hands_out_one_region_after_the_other() -> None:
    """Of 8 MB each, which sockets do not hold; frames come to devices in turn."""
    with nodes(bands(6, 8), DEVICES, trace=True) as some:
        some.begin(some.route("sharing"), a_frame(some.plan))
        some.outputs()
        spans = [span for span in some.spans()[GATEWAY] if span[0] == "send"]
        handed_out = sorted((begin, end, peer) for _, _, _, peer, begin, end, _ in spans)
        assert [peer for *_, peer in handed_out] == [0, 1, 2, 0, 1, 2]
        assert all(end <= begin for (_, end, _), (begin, *_) in pairwise(handed_out))


def bands(count: int, megabytes: int) -> Plan:
    """Return a plan of tasks that each read some rows of the frame and write one."""
    rows = megabytes << 8

    def band(name: str, number: int, height: int) -> Region:
        return Region(name, ((0, 1), (0, 1), (number * height, (number + 1) * height), (0, 1024)))

    tensors = {"x": a_map(1, count * rows, 1024), "y": a_map(1, count, 1024)}
    tasks = [a_task(f"t{n}", [band("x", n, rows)], [band("y", n, 1)]) for n in range(count)]
    return a_plan(f"bands:{count}", tensors, ["x"], ["y"], tasks)


def test_a_single_device_fetches_nothing_back() -> None:
    """Overlaps go to the pool once; whoever computed them has them."""
    plan = reuse(2, 2)
    strips_bytes = sum(tensor.nbytes for name, tensor in plan.tensors.items() if "@" in name)
    with nodes(plan, 1, trace=True) as some:
        some.begin(some.route("stealing"), a_frame(plan))
        some.outputs()
        device, gateway, _ = some.spans()
        given = [nbytes - HEAD_BYTES for lane, *_, nbytes in device if lane == "send"]
        assert sum(given) == strips_bytes + plan.tensors["map"].nbytes
        assert not [span for span in gateway if span[0] == "send" and span[3] == 0]
