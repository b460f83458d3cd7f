"""Edges follow from regions: who reads what of whom."""

from __future__ import annotations

import time

from hypothesis import given

from lcp_tvm.plan.box import full_box, intersect, is_empty
from lcp_tvm.plan.edges import Edge, connections, crossings, edges, predecessors
from lcp_tvm.plan.plan import Plan, Region
from tests.plan.plans import branches, chain, layers, reuse, strips, tiles
from tests.plan.random_plans import plans


def edges_of_all_pairs(plan: Plan) -> list[Edge]:
    """What `edges` returns, by looking at every write for every read."""
    writes = [(None, Region(name, full_box(plan.tensors[name].shape))) for name in plan.inputs]
    writes += [(task.name, region) for task in plan.tasks for region in task.writes]
    reads = [(task.name, region) for task in plan.tasks for region in task.reads]
    reads += [(None, Region(name, full_box(plan.tensors[name].shape))) for name in plan.outputs]
    return [
        Edge(producer, consumer, Region(read.tensor, intersect(write.box, read.box)))
        for consumer, read in reads
        for producer, write in writes
        if write.tensor == read.tensor and not is_empty(intersect(write.box, read.box))
    ]


def test_the_frame_comes_from_none_and_results_go_to_none() -> None:
    plan = chain(2)
    assert edges(plan) == (
        Edge(None, "stage0", Region("image", full_box((1, 3, 224, 224)))),
        Edge("stage0", "stage1", Region("t0", full_box((1, 16, 224, 224)))),
        Edge("stage1", None, Region("t1", full_box((1, 16, 224, 224)))),
    )


def test_a_strip_reads_its_own_rows_and_one_of_each_neighbour() -> None:
    plan = strips(layers=2, count=3)
    found = [
        (edge.producer, edge.region.box[2]) for edge in edges(plan) if edge.consumer == "layer1_1"
    ]
    assert found == [("layer0_0", (3, 4)), ("layer0_1", (4, 8)), ("layer0_2", (8, 9))]


def test_predecessors_are_named_once() -> None:
    plan = reuse(3, 3)
    before = predecessors(plan)
    assert before["tile_0_0"] == ()
    assert sorted(before["tile_1_0"]) == ["tile_0_0", "tile_1_1", "tile_2_0"]
    assert len(before["head"]) == 9


def test_what_stays_on_a_device_crosses_nothing() -> None:
    found = crossings(strips(layers=2, count=2))
    assert [(edge.producer, edge.consumer) for edge in found] == [
        (None, "layer0_0"),
        (None, "layer0_1"),
        ("layer0_1", "layer1_0"),
        ("layer0_0", "layer1_1"),
        ("layer1_0", None),
        ("layer1_1", None),
    ]


def test_lcp_branches_connect_to_the_source_and_the_merge_only() -> None:
    assert [connections(branches(count)) for count in (1, 2, 4, 8)] == [2, 4, 8, 16]


def test_model_parallelism_connects_all_with_all_before_every_layer() -> None:
    # input to n, n (n - 1) between two layers, results of n
    assert [connections(layers(3, count)) for count in (2, 4, 8)] == [
        n + 2 * n * (n - 1) + n for n in (2, 4, 8)
    ]


def test_tasks_bound_to_no_device_are_each_a_place_of_their_own() -> None:
    assert connections(tiles(2, 2)) == 4 + 4
    assert connections(tiles(2, 2, devices=2)) == 2 + 4  # the input goes once to each device


@given(plans())
def test_edges_are_those_of_all_pairs(plan: Plan) -> None:
    found = edges(plan)
    assert set(found) == set(edges_of_all_pairs(plan))
    assert len(found) == len(edges_of_all_pairs(plan))


def test_thousands_of_tasks_take_no_time() -> None:
    plan = strips(layers=70, count=70)
    start = time.process_time()
    assert len(edges(plan)) == 70 + 69 * (70 + 2 * 69) + 70
    assert time.process_time() - start < 1
