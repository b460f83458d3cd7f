"""``lcp-tvm predict``: tables, JSON and a timeline from a plan and a cluster, and refusals."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from lcp_tvm.cli.predict import read_plan
from lcp_tvm.plan.box import full_box
from lcp_tvm.plan.plan import GATEWAY, Cost, Function, Plan, Region, Task, Tensor
from lcp_tvm.plan.plan_json import plan_json
from tests.cli.refused import outcome, refused
from tests.packages import a_package
from tests.predict.small import plan, region, task

Capture = pytest.CaptureFixture[str]

CLUSTER = """
[[devices]]
name = "pi"
kind = "rpi3"
count = 2
cores = 1
memory_mb = 8

[gateway]
kind = "rpi3"

[network]
medium = "shared"
hops = 2
bandwidth_mbit = 62.24
latency_ms = 8.83
"""

# Of a frame: 5.14 ms on the air and 8.83 until d1 has its input, 1150.43 to compute, 2.57 on the
# air and 8.83 until its result is at the gateway, 1.11 for the head.
TABLE = """\
net, split by hand, on two, static: 2 frames

latency, median     1,176.9 ms
latency, 95 of 100  1,176.9 ms
latency, longest    1,176.9 ms
frames a second          0.850
sent a frame          0.040 MB
MAC a frame          2,000.1 M

device   kind  busy ms  wait ms   busy  memory MiB       of     MMAC  sent MB  received
pi-0     rpi3  2,300.9     52.9  97.8%      10.0 !      8.0  2,000.0    0.060     0.000
pi-1     rpi3  2,300.9     52.9  97.8%         0.0      8.0  2,000.0    0.020     0.040
gateway  rpi3      2.1  2,351.6   0.1%         0.0  1,024.0      0.2    0.000     0.040
pi-0 does not have the memory: it needs 10.0 MiB and has 8.0
"""


def two_branches() -> Plan:
    """A gigaMAC each, one with 10 MiB of weights, and a head."""
    x = region("x", 0, 20_000)
    return plan(
        task("b0", 10**9, [x], [region("m", 0, 10_000)], 0, weight_bytes=10 << 20),
        task("b1", 10**9, [x], [region("m", 10_000, 20_000)], 1),
        task("head", 10**5, [region("m", 0, 20_000)], [region("y", 0, 10)], GATEWAY),
        devices=2,
    )


def three_pictures() -> Plan:
    """One task, bound to the first device."""
    tensors = {"x": Tensor((3, 1, 8, 8), "int8"), "y": Tensor((3, 10), "int8")}
    box = {name: Region(name, full_box(tensor.shape)) for name, tensor in tensors.items()}
    function = Function((tensors["x"],), (tensors["y"],), Cost(macs=10**6))
    task = Task("all", "all", (box["x"],), (box["y"],), 0)
    return Plan("net", "none", tensors, ("x",), ("y",), {"all": function}, (task,), devices=2)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.json"
    path.write_text(plan_json(two_branches()))
    return path


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    path = tmp_path / "two.toml"
    path.write_text(CLUSTER)
    return path


def test_prints_what_a_frame_costs_and_what_each_device_does(
    net: Path, cluster: Path, capfd: Capture
) -> None:
    status, out, err = outcome(capfd, "predict", net, "--cluster", cluster, "--frames", 2)
    assert (status, err) == (0, "")
    assert [line.rstrip() for line in out.splitlines()] == TABLE.splitlines()


def test_a_note_says_when_devices_are_too_few(net: Path, cluster: Path, capfd: Capture) -> None:
    status, _, err = outcome(capfd, "predict", net, "--cluster", cluster, "--devices", 1)
    assert status == 0
    assert err == (
        "note: the plan is for 2 devices and the cluster has 1: some take several parts\n"
    )


def test_a_note_says_what_a_frame_is(cluster: Path, tmp_path: Path, capfd: Capture) -> None:
    """Three pictures that are computed together."""
    path = tmp_path / "together.json"
    path.write_text(plan_json(three_pictures()))
    status, _, err = outcome(capfd, "predict", path, "--cluster", cluster)
    assert (status, err) == (0, "note: a frame is 3 pictures, computed together\n")


def test_json_is_one_document(net: Path, cluster: Path, capfd: Capture) -> None:
    status, out, err = outcome(capfd, "predict", net, "--cluster", cluster, "--json")
    assert (status, err) == (0, "")
    values = json.loads(out)
    assert (values["plan"], values["policy"], values["frames"]) == ("net", "static", 1)
    assert values["macs"] == 2 * 10**9 + 10**5
    assert [device["fits"] for device in values["devices"]] == [False, True, True]
    assert not values["fits"]
    assert {(link["from"], link["to"]): link["bytes"] for link in values["links"]} == {
        ("pi-0", "pi-1"): 20_000,
        ("pi-0", "gateway"): 10_000,
        ("pi-1", "gateway"): 10_000,
    }


@pytest.mark.parametrize("policy", ["static", "sharing", "stealing"])
def test_policies(net: Path, cluster: Path, capfd: Capture, policy: str) -> None:
    _, out, _ = outcome(capfd, "predict", net, "--cluster", cluster, "--policy", policy, "--json")
    assert json.loads(out)["policy"] == policy


def test_frames_at_a_rate_wait_when_they_come_too_fast(
    net: Path, cluster: Path, capfd: Capture
) -> None:
    """A frame a second, of 1.15 s on the slower board: each waits longer than the last."""
    command = ("predict", net, "--cluster", cluster, "--frames", 5, "--json")
    slow = json.loads(outcome(capfd, *command, "--fps", 0.5)[1])["latency_ms"]
    fast = json.loads(outcome(capfd, *command, "--fps", 1)[1])["latency_ms"]
    assert slow["p50"] == pytest.approx(slow["max"])
    assert fast["max"] - slow["max"] == pytest.approx(4 * (1150.4 - 1000), rel=0.01)


def test_writes_a_timeline(net: Path, cluster: Path, tmp_path: Path, capfd: Capture) -> None:
    trace = tmp_path / "t.json"
    status, out, _ = outcome(capfd, "predict", net, "--cluster", cluster, "--trace", trace)
    assert status == 0
    assert out.endswith(f"wrote {trace}\n")
    events = json.loads(trace.read_text())["traceEvents"]
    names = {event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert names == {"pi-0", "pi-1", "gateway"}
    assert {event["name"] for event in events} > {"b0", "b1", "head", "frame to b1"}


def test_reads_the_plan_of_a_package(cluster: Path, tmp_path: Path, capfd: Capture) -> None:
    package = a_package(tmp_path)
    assert read_plan(package.path) == package.plan()
    _, out, _ = outcome(capfd, "predict", package.path, "--cluster", cluster, "--json")
    assert json.loads(out)["plan"] == package.plan().name


def test_a_missing_cluster(net: Path, tmp_path: Path, capfd: Capture) -> None:
    line = refused(capfd, "predict", net, "--cluster", tmp_path / "no.toml")
    assert line == f"{tmp_path / 'no.toml'}: cannot be read (No such file or directory)"


def test_a_wrong_cluster(net: Path, cluster: Path, capfd: Capture) -> None:
    cluster.write_text(CLUSTER.replace("hops", "hop"))
    line = refused(capfd, "predict", net, "--cluster", cluster)
    assert line == f"{cluster}: network: unknown key 'hop'; did you mean 'hops'?"


def test_a_missing_package(cluster: Path, tmp_path: Path, capfd: Capture) -> None:
    line = refused(capfd, "predict", tmp_path / "no.lcp", "--cluster", cluster)
    assert line.startswith(f"{tmp_path / 'no.lcp'}: cannot be read (No such file")


def test_a_package_without_a_plan(cluster: Path, tmp_path: Path, capfd: Capture) -> None:
    package = tmp_path / "net.lcp"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("other", "")
    line = refused(capfd, "predict", package, "--cluster", cluster)
    assert line.startswith(f"{package}: is no .lcp package, it holds 'other'")


def test_a_file_that_is_no_plan(cluster: Path, capfd: Capture) -> None:
    line = refused(capfd, "predict", cluster, "--cluster", cluster)
    assert line.startswith(f"{cluster}: ")


def test_a_timeline_where_no_folder_is(
    net: Path, cluster: Path, tmp_path: Path, capfd: Capture
) -> None:
    trace = tmp_path / "no" / "t.json"
    line = refused(capfd, "predict", net, "--cluster", cluster, "--trace", trace)
    assert line == f"{trace}: cannot be written (No such file or directory)"


@pytest.mark.parametrize(
    "option", [("--frames", 0), ("--devices", 0), ("--fps", 0), ("--policy", "luck")]
)
def test_options_out_of_range(
    net: Path, cluster: Path, capfd: Capture, option: tuple[str, object]
) -> None:
    status, out, err = outcome(capfd, "predict", net, "--cluster", cluster, *option)
    assert (status, out) == (2, "")
    assert f"Invalid value for '{option[0]}'" in err
