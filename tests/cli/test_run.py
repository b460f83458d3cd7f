"""``lcp-tvm run``: answers from a worker, and what goes wrong on the way to them."""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lcp_tvm.cli.compile import compile_file
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.package import read_package, write_package
from lcp_tvm.rpc.control import Node
from lcp_tvm.rpc.launch import load
from lcp_tvm.rpc.session import local_worker
from lcp_tvm.split_text import parse_split
from lcp_tvm.targets import parse_targets
from tests.cli.refused import outcome, refused
from tests.example import CALIBRATION, MODEL, PICTURES
from tests.packages import a_compiled, a_cpu_compiled

Capture = pytest.CaptureFixture[str]
BAG, BOOT = PICTURES / "bag.png", PICTURES / "ankle-boot.png"


@pytest.fixture(scope="module")
def worker() -> Iterator[str]:
    """Return the address of a worker that stands for a PYNQ-Z1."""
    with local_worker("pynq_z1") as (host, port):
        yield f"{host}:{port}"


def test_prints_the_likeliest_classes_of_each_picture(
    fashion_package: Path, capfd: Capture
) -> None:
    """Without --workers a worker starts and ends by itself."""
    status, out, err = outcome(capfd, "run", fashion_package, BAG, BOOT, "--top", 2)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[:2] for line in (lines[0], lines[2])] == [
        [str(BAG), "bag"],
        [str(BOOT), "ankle-boot"],
    ]
    assert len(lines) == 5
    assert lines[4].startswith("VTA: ")
    assert lines[4].endswith(" ms a picture, simulated")


def test_every_sample_picture_is_right_on_two_workers(
    fashion_package: Path, worker: str, capfd: Capture
) -> None:
    """Answers come in the order of the pictures, whoever gave them."""
    pictures = sorted(PICTURES.glob("*.png"))
    with local_worker("pynq_z1") as (host, port):
        both = f"{worker},{host}:{port}"
        status, out, err = outcome(
            capfd, "run", fashion_package, *pictures, "--workers", both, "--json"
        )
    assert (status, err) == (0, "")
    answers = json.loads(out)["answers"]
    assert [answer["picture"] for answer in answers] == [str(picture) for picture in pictures]
    best = [answer["guesses"][0]["label"] for answer in answers]
    assert best == [picture.stem for picture in pictures]


@pytest.mark.parametrize("split", ["ftp:1x2@2", "pipeline:2", "replicate:2"])
def test_a_split_network_gives_the_same_answers(
    fashion_package: Path, worker: str, tmp_path: Path, capfd: Capture, split: str
) -> None:
    """Task by task on one worker of its own, on one, and on two."""
    path = tmp_path / "split.lcp"
    compile_file(MODEL, path, "vta:pynq_z1", split=parse_split(split), calibrate=CALIBRATION)
    expected = _answers(capfd, fashion_package, BAG, BOOT)
    with local_worker("pynq_z1") as (host, port):
        for workers in ((), ("--workers", worker), ("--workers", f"{worker},{host}:{port}")):
            assert _answers(capfd, path, BAG, BOOT, *workers) == expected


@pytest.mark.parametrize("split", ["none", "ftp:2x2@2"])
def test_a_network_of_pixels_gives_the_same_answers(
    fashion_package: Path, worker: str, tmp_path: Path, capfd: Capture, split: str
) -> None:
    path = tmp_path / "pixels.lcp"
    compile_file(
        MODEL, path, "vta:pynq_z1", split=parse_split(split), calibrate=CALIBRATION, pixels=True
    )
    plan = read_package(path).plan()
    assert plan.tensors[plan.inputs[0]].dtype == "uint8"
    expected = _answers(capfd, fashion_package, BAG, BOOT)
    assert _answers(capfd, path, BAG, BOOT, "--workers", worker) == expected


def test_pictures_that_are_computed_together_get_the_same_answers(
    fashion_package: Path, worker: str, tmp_path: Path, capfd: Capture
) -> None:
    """Six pictures, four at a time: the last call has two, and its other answers are dropped."""
    path = tmp_path / "together.lcp"
    compile_file(MODEL, path, "vta:pynq_z1", calibrate=CALIBRATION, frames=4)
    pictures = (BAG, BOOT, BOOT, BAG, BAG, BOOT)
    expected = _answers(capfd, fashion_package, *pictures)
    assert _answers(capfd, path, *pictures, "--workers", worker) == expected


def _answers(capfd: Capture, package: Path, *args: object) -> Any:
    status, out, err = outcome(capfd, "run", package, *args, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)["answers"]


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n cut off"])
def test_a_picture_that_is_not_one(
    fashion_package: Path, worker: str, tmp_path: Path, capfd: Capture, content: bytes
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(content)
    line = refused(capfd, "run", fashion_package, BAG, picture, "--workers", worker)
    assert line.startswith(f"{picture}: not a picture")


def test_a_truncated_picture(
    fashion_package: Path, worker: str, tmp_path: Path, capfd: Capture
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(BAG.read_bytes()[:200])
    line = refused(capfd, "run", fashion_package, picture, "--workers", worker)
    assert line.startswith(f"{picture}: a damaged picture")


def test_a_missing_picture(fashion_package: Path, worker: str, capfd: Capture) -> None:
    line = refused(capfd, "run", fashion_package, "no.png", "--workers", worker)
    assert line == "no.png: no such picture"


def test_a_worker_that_is_not_there(fashion_package: Path, capfd: Capture) -> None:
    with socket.socket() as unused:  # a port of its own, so that nobody else listens there
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        line = refused(capfd, "run", fashion_package, BAG, "--workers", address)
    assert line.startswith(f"worker {address}: nothing listens there")
    assert "lcp-tvm worker" in line


def test_a_server_that_is_no_worker(fashion_package: Path, capfd: Capture) -> None:
    """It takes connections and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        thread = threading.Thread(target=_hang_up, args=(server,))
        thread.start()
        line = refused(capfd, "run", fashion_package, BAG, "--workers", address)
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert line.startswith(f"worker {address}: ")


@pytest.mark.parametrize("split", ["none", "pipeline:2"])
def test_a_worker_that_dies(
    tmp_path: Path, worker: str, capfd: Capture, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    """Its session's process is killed between load and run; the next run finds it well again."""
    package = tmp_path / "net.lcp"
    compile_file(MODEL, package, "vta:pynq_z1", split=parse_split(split), calibrate=CALIBRATION)

    def load_and_die(node: Node, *args: Any) -> None:
        load(node, *args)
        os.kill(node.hello().pid, signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr("lcp_tvm.rpc.launch.load", load_and_die)
        line = refused(capfd, "run", package, BAG, "--workers", worker)
    assert line.startswith(f"worker {worker}: the session ended")
    assert outcome(capfd, "run", package, BAG, "--workers", worker)[0] == 0


def test_what_every_device_did(tmp_path: Path, worker: str, capfd: Capture) -> None:
    """A table, JSON, and a timeline of both devices and the client."""
    package, trace = tmp_path / "net.lcp", tmp_path / "trace.json"
    split = parse_split("pipeline:2")
    compile_file(MODEL, package, "vta:pynq_z1", split=split, calibrate=CALIBRATION)
    with local_worker("pynq_z1") as (host, port):
        arguments = ("run", package, BAG, BOOT, "--workers", f"{worker},{host}:{port}", "--stats")
        status, out, _ = outcome(capfd, *arguments, "--trace", trace)
        assert status == 0
        assert outcome(capfd, *arguments, "--json")[0] == 0
    lines = out.splitlines()
    assert lines[-1] == f"wrote {trace}"
    assert [line.split()[0] for line in lines[-4:-1]] == ["a", "edge-0", "edge-1"]
    events = json.loads(trace.read_text())["traceEvents"]
    names = {event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert names == {"edge-0", "edge-1", "client"}
    assert {"stage0", "stage1"} <= {event["name"] for event in events}


def test_statistics_as_json(fashion_package: Path, worker: str, capfd: Capture) -> None:
    arguments = ("run", fashion_package, BAG, BOOT, "--workers", worker, "--stats", "--json")
    found = json.loads(outcome(capfd, *arguments)[1])["statistics"]
    assert [frame["reason"] for frame in found["frames"]] == ["", ""]
    assert [use["device"] for use in found["uses"]] == ["edge-0", "edge-0"]
    assert all(use["tasks"] == 1 and use["compute_ms"] > 0 for use in found["uses"])
    assert all(use["received_bytes"] > 28 * 28 * 4 for use in found["uses"])


def test_a_cluster_file(fashion_package: Path, worker: str, tmp_path: Path, capfd: Capture) -> None:
    path = tmp_path / "boards.toml"
    device = f'[[devices]]\nkind = "pynq_z1"\naddress = "{worker}"\n'
    path.write_text(f'{device}[network]\nmedium = "switched"\nbandwidth_mbit = 1000\n')
    expected = _answers(capfd, fashion_package, BAG)
    assert _answers(capfd, fashion_package, BAG, "--cluster", path) == expected
    both = ("--cluster", path, "--workers", worker)
    assert "give one of them" in refused(capfd, "run", fashion_package, BAG, *both)


@pytest.mark.parametrize("text", ["", "a", "0,", "1.5", "-1"])
def test_sources_that_are_no_numbers(fashion_package: Path, capfd: Capture, text: str) -> None:
    line = refused(capfd, "run", fashion_package, BAG, "--sources", text)
    assert "must be numbers of devices" in line


def test_a_source_that_is_no_device(fashion_package: Path, worker: str, capfd: Capture) -> None:
    arguments = ("run", fashion_package, BAG, "--workers", worker, "--sources", "1")
    assert "source 1 is not a device; they are 0 to 0" in refused(capfd, *arguments)


def test_a_package_for_another_board(fashion_package: Path, capfd: Capture) -> None:
    with local_worker("ultra96") as (host, port):
        line = refused(capfd, "run", fashion_package, BAG, "--workers", f"{host}:{port}")
    assert "ultra96" in line
    assert "pynq" in line


@pytest.mark.parametrize(
    ("target", "processor"), [("arm:pynq", "cortex-a9"), ("vta:pynq_z1@arm", "cortex-a9")]
)
def test_a_package_for_another_processor(
    tmp_path: Path, capfd: Capture, target: str, processor: str
) -> None:
    compiled = a_compiled()
    module = replace(compiled.modules[0], target=parse_target(target))
    compiled = replace(compiled, targets=parse_targets(target), modules=(module,))
    package = write_package(compiled, tmp_path / "arm.lcp")
    line = refused(capfd, "run", package.path, BAG)
    assert line.startswith(f"{package.path}: was compiled for {target} on {processor}, ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("localhost", "address 'localhost': must be HOST:PORT"),
        ("localhost:99999", "the port must be 1 to 65535"),
        ("localhost:1,", "address '': must be HOST:PORT"),
        ("localhost:1,localhost:1", "an address is there twice"),
    ],
)
def test_workers_that_are_no_addresses(
    fashion_package: Path, capfd: Capture, text: str, message: str
) -> None:
    assert message in refused(capfd, "run", fashion_package, BAG, "--workers", text)


def test_code_that_is_none(tmp_path: Path, worker: str, capfd: Capture) -> None:
    """A package whose parts have the right hashes, but are no programs."""
    package = write_package(a_cpu_compiled(), tmp_path / "cpu.lcp")
    line = refused(capfd, "run", package.path, BAG, "--workers", worker)
    assert line.startswith(f"{package.path}: module network: worker {worker}: ")
    assert "cannot be loaded" in line


def _hang_up(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return
