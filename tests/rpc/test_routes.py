"""Where tasks run under each policy, and what remains when nodes are lost."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lcp_tvm.errors import WorkerError
from lcp_tvm.plan.pieces import find_reads
from lcp_tvm.plan.plan import Plan, Policy
from lcp_tvm.predict.cluster import Cluster, Device, Network
from lcp_tvm.predict.kinds import KINDS
from lcp_tvm.predict.placement import Machines, place_earliest
from lcp_tvm.rpc.routes import ANYWHERE, Route, Router
from tests.plan.plans import branches, chain, tiles


def router(
    plan: Plan,
    devices: int,
    policy: Policy = "static",
    *,
    gateway: bool = True,
    cluster: Cluster | None = None,
) -> Router:
    """Return a router for some devices, and a gateway of its own or not."""
    names = tuple(f"edge-{number}" for number in range(devices))
    nodes = (*names, "gateway") if gateway else names
    machines = Machines(devices, devices if gateway else 0)
    return Router(plan, find_reads(plan), (*nodes, "client"), machines, policy, cluster)


def test_bound_tasks_run_at_their_devices_and_the_head_at_the_gateway() -> None:
    assert router(branches(2), 2).route(0) == Route(0, 0, (0, 1, 2), (0, 1), "static")


def test_a_gateway_that_is_a_device() -> None:
    assert router(branches(2), 2, gateway=False).route(0).places == (0, 1, 0)


def test_a_plan_for_more_devices_than_there_are() -> None:
    assert router(branches(3), 2).route(0).places == (0, 1, 0, 2)


def test_unbound_tasks_are_dealt_out_in_turn() -> None:
    assert router(tiles(2, 2), 3).route(0).places == (0, 1, 2, 0, 3)


def test_unbound_tasks_go_where_they_end_first_when_the_devices_are_known() -> None:
    """A device of ten times the speed takes more than its turn."""
    slow = Device("slow", KINDS["rpi3"], 1, 1200, 1024)
    network = Network("switched", 1000.0)
    cluster = Cluster("two", (replace(slow, speed=10.0), slow), network, replace(slow, name="g"))
    plan = tiles(2, 2)
    places = router(plan, 2, cluster=cluster).route(0).places
    assert list(places) == place_earliest(plan, cluster, find_reads(plan), 0, 0)
    assert places.count(0) > places.count(1)


def test_sharing_deals_out_in_turn_and_stealing_leaves_it_open() -> None:
    assert router(tiles(2, 2), 2, "sharing").route(0).places == (0, 1, 0, 1, 2)
    assert router(tiles(2, 2), 2, "stealing").route(0) == Route(
        0, 0, (ANYWHERE,) * 4 + (2,), (0, 1), "stealing"
    )


def test_replicas_take_turns() -> None:
    plan = replace(chain(2), replicas=2)
    found = router(plan, 4, gateway=False)
    assert [found.route(turn).places for turn in range(3)] == [(0, 1), (2, 3), (0, 1)]
    assert [found.route(turn).source for turn in range(2)] == [0, 2]


def test_more_nodes_than_a_bound_plan_needs_are_replicas() -> None:
    found = router(chain(1), 3, gateway=False)
    assert [found.route(turn).places for turn in range(4)] == [(0,), (1,), (2,), (0,)]


def test_a_route_has_a_number_for_each_source() -> None:
    found = router(tiles(2, 2), 2, "stealing")
    assert [found.route(0, source).id for source in (0, 1, 0)] == [0, 1, 0]
    assert found.route(0, 1).source == 1
    assert [route.source for route in found.routes((1, 0))] == [1, 0]


def test_what_nodes_are_told() -> None:
    assert json.loads(router(branches(2), 2).route(0, 1).json()) == {
        "id": 0,
        "source": 1,
        "places": [0, 1, 2],
        "devices": [0, 1],
        "policy": "static",
    }


def test_the_others_take_the_tasks_of_a_lost_node() -> None:
    """Under a new number; the same source where it is still there."""
    found = router(tiles(2, 2), 3)
    before = found.route(0, 2)
    found.lose(1, "killed")
    after = found.route(0, 2)
    assert after.places == (0, 2, 0, 2, 3)
    assert after.devices == (0, 2)
    assert after.source == 2
    assert after.id != before.id


def test_another_node_takes_the_frames_of_a_lost_source() -> None:
    found = router(tiles(2, 2), 3, "stealing")
    found.lose(0, "killed")
    assert found.route(0, 0).source == 1


def test_a_node_that_comes_back() -> None:
    found = router(tiles(2, 2), 2)
    before = found.route(0)
    found.lose(1, "killed")
    found.regain(1)
    assert found.route(0) == before


def test_replicas_that_lie_on_one_device_have_one_route() -> None:
    found = router(replace(chain(2), replicas=3), 1)
    assert found.routes(()) == (found.route(0),)


def test_a_route_that_is_forgotten_has_another_number_the_next_time() -> None:
    found = router(tiles(2, 2), 2)
    before = found.route(0)
    found.forget(before)
    assert found.route(0).places == before.places
    assert found.route(0).id != before.id


def test_a_bound_plan_cannot_do_without_its_device() -> None:
    found = router(branches(2), 2)
    found.lose(1, "killed")
    with pytest.raises(WorkerError, match=r"edge-1: it is lost, and the plan .* \(killed\)"):
        found.route(0)


def test_a_replica_takes_the_turns_of_one_that_is_not_whole() -> None:
    found = router(replace(chain(2), replicas=2), 4, gateway=False)
    found.lose(1, "killed")
    assert [found.route(turn).places for turn in range(2)] == [(2, 3), (2, 3)]
    found.lose(2, "killed")
    with pytest.raises(WorkerError, match="edge-1"):
        found.route(0)


@pytest.mark.parametrize("policy", ["static", "sharing", "stealing"])
def test_a_head_cannot_do_without_the_gateway(policy: Policy) -> None:
    found = router(tiles(2, 2), 2, policy)
    found.lose(2, "killed")
    with pytest.raises(WorkerError, match="gateway: it is lost"):
        found.route(0)


def test_no_device_is_left() -> None:
    found = router(tiles(2, 2), 2)
    found.lose(0, "killed")
    found.lose(1, "killed")
    with pytest.raises(WorkerError, match="edge-0: it is lost"):
        found.route(0)
