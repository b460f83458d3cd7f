"""Workers of emulated boards, each on its machine."""

from __future__ import annotations

import os

import pytest

from lcp_tvm.rpc.emulation.boards import emulated_boards, shared_cores
from lcp_tvm.rpc.emulation.network import why_not
from lcp_tvm.rpc.session import WorkerSession
from tests.predict.small import cluster

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


def test_workers_and_a_gateway_on_machines_of_their_own() -> None:
    where = cluster(2, gateway=True)
    before = os.sched_getaffinity(0)
    ours, others = shared_cores()
    with emulated_boards(where) as (workers, network):
        assert [host for host, _ in workers.devices] == list(network.addresses[:2])
        assert workers.gateway is not None
        assert workers.gateway[0] == network.addresses[2]
        assert os.sched_getaffinity(0) == {ours}
        with WorkerSession.connect(*workers.devices[1]) as session:
            assert os.sched_getaffinity(session.facts["pid"]) <= set(others)
    assert os.sched_getaffinity(0) == before


def test_a_cluster_without_a_gateway_has_none() -> None:
    with emulated_boards(cluster(1)) as (workers, network):
        assert workers.gateway is None
        assert len(network.addresses) == 1
