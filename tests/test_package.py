"""The `.lcp` file: what goes in comes out, and nothing damaged gets through."""

import hashlib
import json
import random
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcp_tvm.detector import Detector
from lcp_tvm.errors import InputError, PackageError
from lcp_tvm.manifest import FORMAT, manifest_json, parse_manifest
from lcp_tvm.package import MANIFEST, PLAN, read_package, write_package
from lcp_tvm.report import build_report
from tests.packages import a_compiled, a_cpu_compiled, a_package, a_split_compiled


def test_reads_what_was_written(tmp_path: Path) -> None:
    compiled = a_compiled()
    written = write_package(compiled, tmp_path / "tiny.lcp")
    package = read_package(tmp_path / "tiny.lcp")

    assert package == written
    assert package.plan() == compiled.plan
    assert package.code() == tuple(module.code for module in compiled.modules)
    assert package.preprocess == compiled.network.preprocess
    manifest = package.manifest
    assert (manifest.name, manifest.target, manifest.input_name) == ("tiny", "vta:pynq_z1", "image")
    assert manifest.input_shape == (1, 3, 8, 8)
    assert manifest.labels == ("cat", "dog")
    module = manifest.modules["network"]
    assert (module.target, module.functions) == ("vta:pynq_z1", ("network",))
    assert module.stats == compiled.modules[0].stats
    assert module.config == compiled.modules[0].header["config"]
    assert [row.snr_db for row in manifest.noise] == [48.25, 31.5, float("inf")]
    assert [piece.operators for piece in module.pieces] == [("conv", "pool"), ("softmax",)]


def test_a_detector_reads_back(tmp_path: Path) -> None:
    detector = Detector(((1.5, 2.0), (3.0, 4.0)), 0.3, 0.6)
    compiled = a_compiled()
    compiled = replace(compiled, network=replace(compiled.network, detector=detector))
    assert write_package(compiled, tmp_path / "net.lcp").manifest.detector == detector
    assert read_package(tmp_path / "net.lcp").manifest.detector == detector


def test_a_number_that_no_float_can_hold_is_refused(tmp_path: Path) -> None:
    manifest = a_package(tmp_path).manifest
    picture = asdict(manifest.picture) | {"scale": 10**400}
    with pytest.raises(PackageError, match=r"'scale' is '10{59}'; the file is corrupt"):
        read_package(_with_manifest(tmp_path, {"picture": picture}))


def test_a_wrong_detector_is_refused(tmp_path: Path) -> None:
    path = _with_manifest(tmp_path, {"detector": {"anchors": [[1, -2]]}})
    with pytest.raises(PackageError, match=r"'detector': anchor \[1, -2\] must be.*corrupt"):
        read_package(path)


def test_the_entries_are_manifest_plan_and_modules(tmp_path: Path) -> None:
    assert list(_entries(a_package(tmp_path).path)) == [
        "manifest.json",
        "plan.json",
        "modules/network.so",
        "modules/network.vta",
    ]


def test_a_network_without_vta_has_no_programs(tmp_path: Path) -> None:
    package = write_package(a_cpu_compiled(), tmp_path / "cpu.lcp")
    assert package.vta("network") is None
    assert list(_entries(package.path)) == ["manifest.json", "plan.json", "modules/network.so"]


def test_modules_of_a_split_network_are_read_one_by_one(tmp_path: Path) -> None:
    package = write_package(a_split_compiled(), tmp_path / "split.lcp")
    assert sorted(package.manifest.modules) == ["half", "head"]
    assert [code.name for code in package.code(["head"])] == ["head"]
    assert package.plan() == a_split_compiled().plan


def test_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_package(a_compiled(), tmp_path / "a.lcp").path.read_bytes()
    assert write_package(a_compiled(), tmp_path / "b.lcp").path.read_bytes() == first


def test_writing_replaces_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "tiny.lcp").write_text("old")
    a_package(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.lcp"]
    assert read_package(tmp_path / "tiny.lcp").manifest.name == "tiny"


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "tiny.lcp").write_text("old")
    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(InputError, match=r"tiny\.lcp: cannot be written \(No space left"):
        a_package(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.lcp"]
    assert (tmp_path / "tiny.lcp").read_text() == "old"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no/tiny\.lcp: cannot be written"):
        a_package(tmp_path / "no")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no .lcp package"),
        (b"\x7fELF and so on", "is no .lcp package"),
        (b"PK\x03\x04 and nothing more", "is no .lcp package"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.lcp"
    path.write_bytes(content)
    with pytest.raises(PackageError, match=message):
        read_package(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="No such file"):
        read_package(tmp_path / "missing.lcp")


def test_a_newer_format_says_what_to_do(tmp_path: Path) -> None:
    path = _with_manifest(tmp_path, {"format": FORMAT + 1})
    with pytest.raises(PackageError, match=r"format 6 is newer than 5.*update lcp-tvm"):
        read_package(path)


def test_an_older_format_says_what_to_do(tmp_path: Path) -> None:
    path = _with_manifest(tmp_path, {"format": 1})
    with pytest.raises(PackageError, match=r"format 1 is older than 5.*compile the network again"):
        read_package(path)


@pytest.mark.parametrize(
    "name", ["../net.so", "/etc/net.so", "modules/", "net.so", "modules/other.so", "extra"]
)
def test_unknown_entries_are_refused(tmp_path: Path, name: str) -> None:
    package = a_package(tmp_path)
    with zipfile.ZipFile(package.path, "a") as archive:
        archive.writestr(name, b"")
    with pytest.raises(PackageError, match=r"is no \.lcp package, it holds"):
        read_package(package.path)


def test_an_entry_larger_than_allowed_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = a_package(tmp_path)
    monkeypatch.setattr("lcp_tvm.package.MAX_SIZES", {MANIFEST: 10})
    with pytest.raises(PackageError, match=r"manifest\.json has \d+ bytes, allowed is 10"):
        read_package(package.path)


def test_code_of_another_network_is_refused(tmp_path: Path) -> None:
    package = a_package(tmp_path)
    name = "modules/network.so"
    entries = _entries(package.path) | {name: b"\x7fELF of an other part"}
    assert len(entries[name]) == package.manifest.modules["network"].so.size + 1
    _write(package.path, entries)
    with pytest.raises(PackageError, match=r"network\.so is missing or has another size"):
        read_package(package.path)
    _write(package.path, entries | {name: b"\x7fELF of the GPU part"})
    with pytest.raises(PackageError, match=r"network\.so has another hash"):
        read_package(package.path).code()


def test_a_plan_of_another_network_is_refused(tmp_path: Path) -> None:
    """Its functions are in no module."""
    compiled = replace(a_split_compiled(), modules=a_cpu_compiled().modules)
    package = write_package(compiled, tmp_path / "mixed.lcp")
    with pytest.raises(PackageError, match=r"mixed\.lcp: its plan and its modules are not of one"):
        package.plan()


def test_a_plan_that_is_wrong_is_refused(tmp_path: Path) -> None:
    plan = a_cpu_compiled().plan
    compiled = replace(a_cpu_compiled(), plan=replace(plan, tasks=plan.tasks * 2))
    package = write_package(compiled, tmp_path / "wrong.lcp")
    with pytest.raises(PackageError, match=r"wrong\.lcp: its plan is wrong: two tasks"):
        package.plan()


@pytest.mark.parametrize("name", ["", "a/b", "..", "a" * 101, "n\u00e9t"])
def test_a_module_of_another_name_is_refused(tmp_path: Path, name: str) -> None:
    path = a_package(tmp_path).path
    entries = _entries(path)
    values = json.loads(entries[MANIFEST])
    values["modules"] = {name: values["modules"]["network"]}
    _write(path, entries | {MANIFEST: json.dumps(values).encode()})
    with pytest.raises(PackageError, match="its manifest has a module"):
        read_package(path)


@pytest.mark.parametrize("seed", range(4))
def test_any_flipped_bit_or_cut_reads_the_same_or_is_refused(tmp_path: Path, seed: int) -> None:
    """Bits that say nothing (dates, say) may flip; all others must be noticed."""
    package = a_package(tmp_path)
    good = package.path.read_bytes()
    rng = random.Random(seed)
    broken = tmp_path / "broken.lcp"
    refused = 0
    for _ in range(300):
        data = bytearray(good)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        else:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        broken.write_bytes(data)
        refused += not _reads_as(broken, package.manifest)
    assert refused > 200


_json: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(data=st.data())
@settings(max_examples=300)
def test_any_other_value_in_the_manifest_reads_or_is_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is let through makes a report."""
    package = a_package(tmp_path_factory.mktemp("p"))
    entry = data.draw(st.sampled_from([MANIFEST, PLAN]))
    values = json.loads(_entries(package.path)[entry])
    place, key = values, data.draw(st.sampled_from(sorted(values)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(
            st.sampled_from(range(len(place)) if isinstance(place, list) else sorted(place))
        )
    place[key] = data.draw(_json)
    _write(package.path, _with_entry(package.path, entry, json.dumps(values).encode()))
    try:
        build_report(read_package(package.path))
    except PackageError as error:
        assert str(package.path) in str(error)  # noqa: PT017 (either way is right)


def test_manifest_round_trips(tmp_path: Path) -> None:
    manifest = a_package(tmp_path).manifest
    assert parse_manifest(manifest_json(manifest).encode(), "x") == manifest


def test_a_function_without_a_vta_takes_what_its_largest_compilation_does(tmp_path: Path) -> None:
    assert a_package(tmp_path).manifest.cpu_peak_bytes() == {}
    compiled = a_split_compiled()
    half, head = compiled.modules
    code = replace(half.code, name="half_1")
    other = replace(half, code=code, peak_bytes={"half": 700})
    package = write_package(replace(compiled, modules=(half, other, head)), tmp_path / "3.lcp")
    assert package.manifest.cpu_peak_bytes() == {"half": 700, "head": 640}


def test_memory_of_other_functions_is_refused(tmp_path: Path) -> None:
    (module,) = a_cpu_compiled().modules
    wrong = replace(module, peak_bytes={"other": 1})
    package = write_package(replace(a_cpu_compiled(), modules=(wrong,)), tmp_path / "x.lcp")
    with pytest.raises(PackageError, match="functions and their memory do not match"):
        read_package(package.path)


def _reads_as(path: Path, manifest: Any) -> bool:
    try:
        package = read_package(path)
        assert package.plan() == a_compiled().plan
        assert package.code() == (a_compiled().modules[0].code,)
    except PackageError:
        return False
    assert package.manifest == manifest
    return True


def _entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _write(path: Path, entries: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def _with_entry(path: Path, name: str, data: bytes) -> dict[str, bytes]:
    """All entries with another one, whose size and hash the manifest has as well."""
    entries = _entries(path) | {name: data}
    if name == PLAN:
        values = json.loads(entries[MANIFEST])
        values["plan"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        entries[MANIFEST] = json.dumps(values).encode()
    return entries


def _with_manifest(folder: Path, changes: dict[str, Any]) -> Path:
    path = a_package(folder).path
    entries = _entries(path)
    values = json.loads(entries[MANIFEST]) | changes
    _write(path, entries | {MANIFEST: json.dumps(values).encode()})
    return path
