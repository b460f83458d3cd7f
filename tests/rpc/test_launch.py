"""From a package to nodes on real workers: who is there, what is refused, what is left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lcp_tvm.cli.compile import compile_file
from lcp_tvm.errors import ConfigError, InputError, PackageError, WorkerError
from lcp_tvm.executor import load_local
from lcp_tvm.package import Package, read_package
from lcp_tvm.predict.cluster_file import parse_cluster
from lcp_tvm.rpc.blocking import BlockingCluster
from lcp_tvm.rpc.crew import Crew
from lcp_tvm.rpc.launch import Launch
from lcp_tvm.rpc.session import WorkerSession, local_worker
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.workers import Workers, local_workers
from lcp_tvm.split_text import parse_split
from tests.example import CALIBRATION, MODEL

SETTINGS = Settings()


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with local_workers(2) as found:
        yield found


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Return the bundled network as two tiles of no fixed device, and a head at the gateway."""
    path = tmp_path_factory.mktemp("tiles") / "tiles.lcp"
    split = parse_split("ftp:1x2:reuse")
    return compile_file(MODEL, path, "vta:pynq_z1", split=split, calibrate=CALIBRATION)


def launch(package: Package, workers: Workers | None, settings: Settings = SETTINGS) -> Launch:
    return Launch(package, package.plan(), workers, settings, lambda what, fraction: None)


def pictures(package: Package, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    shape = package.manifest.input_shape
    return [rng.normal(size=shape).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("policy", ["static", "sharing", "stealing"])
def test_the_bits_of_a_run_in_this_process(tiles: Package, workers: Workers, policy: str) -> None:
    """Two devices and a gateway that the orchestrator starts."""
    here = load_local(tiles.code())
    with BlockingCluster(tiles, workers, replace(SETTINGS, policy=policy)) as cluster:
        for x, outputs in zip(pictures(tiles, 5), cluster.stream(pictures(tiles, 5)), strict=True):
            for there, expected in zip(outputs, here.run(tiles.plan(), x), strict=True):
                np.testing.assert_array_equal(there, expected)


def test_workers_of_this_machine_when_none_are_given(tiles: Package) -> None:
    with launch(tiles, None) as crew:
        assert crew.names[-2:] == ("gateway", "client")
        assert 1 <= crew.machines.devices <= 2


def test_a_gateway_that_is_given(tiles: Package, workers: Workers) -> None:
    one, other = workers.devices
    with launch(tiles, Workers((one,), other)) as crew:
        assert crew.names == ("edge-0", "gateway", "client")
        assert crew.nodes[1].hello().pid != os.getpid()


def test_no_gateway_where_there_is_nothing_for_it_to_do(
    fashion_package: Path, workers: Workers
) -> None:
    with launch(read_package(fashion_package), workers) as crew:
        assert crew.names == ("edge-0", "edge-1", "client")
        assert crew.machines.gateway == 0


def test_devices_have_the_names_of_the_cluster(tiles: Package, workers: Workers) -> None:
    """One without a gateway has device 0 for it."""
    network = {"medium": "switched", "bandwidth_mbit": 100}
    kind = {"kind": "rpi3", "count": 2, "name": "pi"}
    cluster = parse_cluster({"devices": [kind], "network": network}, "here")
    with launch(tiles, replace(workers, cluster=cluster)) as crew:
        assert crew.names == ("pi-0", "pi-1", "client")
        assert crew.machines.gateway == 0
    three = parse_cluster({"devices": [{**kind, "count": 3}], "network": network}, "here")
    with pytest.raises(InputError, match="has 3 devices, and 2 addresses"):
        launch(tiles, replace(workers, cluster=three)).__enter__()


def test_a_node_that_is_lost_is_set_up_again(tiles: Package, workers: Workers) -> None:
    """infer -> SIGKILL of a session's process -> infer: the same bits."""
    (x,) = pictures(tiles, 1)
    crews: list[Crew] = []

    @contextmanager
    def seen() -> Iterator[Crew]:
        with launch(tiles, workers) as crew:
            crews.append(crew)
            yield crew

    with BlockingCluster.on(tiles.plan(), seen()) as cluster:
        before = cluster.infer(x)
        for node in crews[0].nodes:
            os.kill(node.hello().pid, signal.SIGKILL)
            for there, expected in zip(cluster.infer(x), before, strict=True):
                np.testing.assert_array_equal(there, expected)


def test_workers_are_free_again(tiles: Package, workers: Workers) -> None:
    busy = pytest.raises(WorkerError, match="it is busy with another session")
    for _ in range(2):
        with launch(tiles, workers), busy:
            WorkerSession.connect(*workers.devices[0])


def test_a_launch_that_fails_leaves_the_others_free(tiles: Package, workers: Workers) -> None:
    nobody = ("127.0.0.1", 1)
    with pytest.raises(WorkerError, match=r"worker 127\.0\.0\.1:1: nothing listens there"):
        launch(tiles, Workers((*workers.devices, nobody))).__enter__()
    with launch(tiles, workers) as crew:
        assert crew.machines.devices == 2


def test_a_package_for_another_vta(tiles: Package) -> None:
    told = pytest.raises(ConfigError, match="edge-0: it has the VTA ultra96")
    with local_worker("ultra96") as address, told:
        launch(tiles, Workers((address,))).__enter__()


def test_code_that_is_damaged(
    tiles: Package, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the right hash, but half of a program."""
    code = tiles.code

    def half(names: tuple[str, ...]) -> tuple[object, ...]:
        return tuple(replace(module, vta=module.vta and module.vta[:100]) for module in code(names))

    monkeypatch.setattr(Package, "code", lambda _, names: half(names))
    with pytest.raises((PackageError, WorkerError)):
        launch(tiles, workers).__enter__()
