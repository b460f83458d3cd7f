"""examples/live_camera: the rebuilt face detector computes what face-api does, on boards too."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image, ImageOps

from lcp_tvm.answers import Answer
from lcp_tvm.cli.compile import compile_file
from lcp_tvm.detections import Detection
from lcp_tvm.executor import load_local
from lcp_tvm.package import Package
from lcp_tvm.pictures import load_input
from lcp_tvm.rpc.blocking import BlockingCluster
from lcp_tvm.rpc.workers import local_workers
from lcp_tvm.runner import run_pictures
from tests import tiny_face_detector as reference
from tests.cli.refused import outcome

EXAMPLE = Path(__file__).parents[1] / "examples" / "live_camera"
MODEL, ASTRONAUT = EXAMPLE / "face_detector.onnx", EXAMPLE / "pictures" / "astronaut.jpg"

CHROMIUM = shutil.which("chromium")
ARTEFACTS = Path(__file__).parents[1] / "build" / "artefacts"
PATIENCE_S = 60

START = """
import sys
from pathlib import Path
import faces
from lcp_tvm.package import read_package
sys.exit(faces.show([read_package(Path(sys.argv[1]))], ["--port", "0"]))
"""

pytestmark = pytest.mark.xdist_group("live camera")  # compiled once, by one worker

LIMIT = 8.0  # where the example cuts off what face-api computes

NOISE = np.random.default_rng(0).integers(0, 256, (13, 13, 3), np.uint8).repeat(32, 0).repeat(32, 1)
"""A picture in which no number of the grid is like another; there are no faces in it."""

FACE_API_GRID = Path(__file__).parent / "face_api_grid.npy"
"""What face-api's own JavaScript computes of it on TensorFlow.js (CPU): float32 [13, 13, 25]."""

# What it finds in the photograph, and in the photograph beside its mirror image.
ONE_FACE = [(0.971, (0.320, 0.147, 0.545, 0.362))]
TWO_FACES = [(0.821, (0.715, 0.159, 0.845, 0.358)), (0.817, (0.148, 0.153, 0.276, 0.368))]


@dataclass(frozen=True, slots=True)
class Scripts:
    """The scripts of the example as modules."""

    faces: ModuleType
    write_face_detector: ModuleType


@pytest.fixture(scope="module")
def scripts() -> Iterator[Scripts]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLE)
        import faces
        import write_face_detector

        yield Scripts(faces, write_face_detector)
        for name in ("faces", "write_face_detector"):
            del sys.modules[name]


@pytest.fixture(scope="module")
def packages(scripts: Scripts, tmp_path_factory: pytest.TempPathFactory) -> tuple[Package, Package]:
    """Tiles and the whole network, as the example compiles them."""
    compiled: tuple[Package, Package] = scripts.faces.compile_detector(
        tmp_path_factory.mktemp("faces")
    )
    return compiled


@pytest.fixture(scope="module")
def tiles(packages: tuple[Package, Package]) -> Package:
    return packages[0]


@pytest.fixture(scope="module")
def whole(packages: tuple[Package, Package]) -> Package:
    return packages[1]


def grid(model: onnx.ModelProto, picture: np.ndarray) -> np.ndarray:
    """Return [13, 13, 25] of a picture [H, W, 3], by onnxruntime."""
    x = ((picture - np.array(reference.MEAN_RGB)) / 255).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(None, {"picture": x.transpose(2, 0, 1)[None]})
    return np.asarray(found[0]).transpose(1, 2, 0)


def test_the_script_writes_the_network_that_the_manifest_describes(
    scripts: Scripts, tmp_path: Path
) -> None:
    reference.random_model(tmp_path, seed=1)
    expected = reference.run(reference.read_weights(tmp_path), NOISE)
    found = grid(scripts.write_face_detector.face_detector(tmp_path), NOISE)
    assert 0.5 < np.abs(expected).max() < LIMIT
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.ptp(expected))


def test_the_script_refuses_bytes_that_the_manifest_does_not_list(
    scripts: Scripts, tmp_path: Path
) -> None:
    reference.random_model(tmp_path, seed=1)
    with (tmp_path / f"{reference.NAME}.bin").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(SystemExit, match="193322 bytes of weights, the manifest lists 193321"):
        scripts.write_face_detector.face_detector(tmp_path)


def test_the_network_computes_what_face_api_does() -> None:
    """But for numbers so large that their sigmoid is 0 or 1 within 0.0004."""
    expected = np.load(FACE_API_GRID)
    assert (np.abs(expected) < LIMIT).mean() > 0.8
    found = grid(onnx.load(MODEL), NOISE)
    np.testing.assert_allclose(found, np.clip(expected, -LIMIT, LIMIT), atol=1e-4)


def test_four_boards_compute_what_one_does(whole: Package, tiles: Package) -> None:
    x = load_input(ASTRONAUT, whole.preprocess, "uint8")
    (expected,) = load_local(whole.code()).run(whole.plan(), x)
    assert tiles.plan().devices == 4
    with local_workers(4) as workers, BlockingCluster(tiles, workers) as cluster:
        (found,) = cluster.infer(x)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.ptp(expected))


def test_four_boards_find_the_faces_that_face_api_finds(tiles: Package, tmp_path: Path) -> None:
    photograph = Image.open(ASTRONAUT)
    pair = Image.new("RGB", (1024, 512))
    pair.paste(photograph, (0, 0))
    pair.paste(ImageOps.mirror(photograph), (512, 0))
    pair.save(tmp_path / "pair.png")
    Image.new("RGB", (64, 48), "grey").save(tmp_path / "nobody.png")
    pictures = [ASTRONAUT, tmp_path / "pair.png", tmp_path / "nobody.png"]
    with local_workers(4) as workers:
        answers = run_pictures(tiles, pictures, workers, top=1, progress=lambda *_: None).answers
    for answer, expected in zip(answers, (ONE_FACE, TWO_FACES, []), strict=True):
        assert_found(answer, expected)


def test_int8_numbers_find_the_same_face(tmp_path: Path) -> None:
    """One photograph is enough for scales: faces that it does not show are found as well."""
    package = compile_file(MODEL, tmp_path / "int8.lcp", "cpu", calibrate=EXAMPLE / "pictures")
    mirrored = tmp_path / "mirrored.png"
    ImageOps.mirror(Image.open(ASTRONAUT)).resize((300, 300)).save(mirrored)
    (answer,) = run_pictures(package, [mirrored], None, top=1, progress=lambda *_: None).answers
    (face,) = answer.detections or ()
    left, top, right, bottom = ONE_FACE[0][1]
    assert face.score > 0.9
    assert reference.overlap(face.box, (1 - right, top, 1 - left, bottom)) > 0.8


def assert_found(answer: Answer, expected: list[tuple[float, reference.Box]]) -> None:
    detections: tuple[Detection, ...] = answer.detections or ()
    assert [found.label for found in detections] == ["face"] * len(expected)
    for found, (score, box) in zip(detections, expected, strict=True):
        assert found.score == pytest.approx(score, abs=0.01)
        assert found.box == pytest.approx(box, abs=0.01)


def test_run_shows_where_faces_are(
    whole: Package,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ASTRONAUT, "astronaut.jpg")
    Image.new("RGB", (64, 48), "grey").save("nobody.png")
    status, out, err = outcome(capfd, "run", whole.path, "astronaut.jpg", "nobody.png")
    assert (status, err) == (0, "")
    assert [line.rstrip() for line in out.splitlines()] == [
        "astronaut.jpg  face            97.1%  ███████████████████████  32-54% across, 15-36% down",
        "nobody.png     nothing found",
    ]


def test_run_tells_programs_where_faces_are(
    whole: Package, capfd: pytest.CaptureFixture[str]
) -> None:
    status, out, err = outcome(capfd, "run", whole.path, ASTRONAUT, "--json")
    assert (status, err) == (0, "")
    (answer,) = json.loads(out)["answers"]
    assert answer["guesses"] == []
    (face,) = answer["detections"]
    assert (face["index"], face["label"]) == (0, "face")
    assert face["score"] == pytest.approx(ONE_FACE[0][0], abs=0.01)
    assert face["box"] == pytest.approx(ONE_FACE[0][1], abs=0.01)


def test_the_example_finds_the_face_in_a_live_camera(
    scripts: Scripts,
    packages: tuple[Package, Package],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    log = tmp_path / "answers.jsonl"
    options = ("--port", "0", "--frames", "8", "--json-log", str(log))
    assert scripts.faces.show(packages, options) == 0, capfd.readouterr().err
    answers = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(answers) == 8
    for answer in answers:
        assert (answer["split"], answer["known"]) == ("ftp:2x2@13", "astronaut")
        (face,) = answer["detections"]
        assert face["label"] == "face"
        assert face["box"] == pytest.approx(ONE_FACE[0][1], abs=0.05)  # it sways


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: apt-get install chromium")
def test_the_page_has_a_box_around_the_face(
    scripts: Scripts, packages: tuple[Package, Package]
) -> None:
    """The example in a process of its own, as a user starts it, and its page in a browser."""
    browsers = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with shown(packages) as link, browsers.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        complaints: list[str] = []
        page.on(
            "console", lambda said: complaints.append(said.text) if said.type == "error" else None
        )
        page.goto(link)
        face = page.locator(".box")
        face.wait_for(timeout=PATIENCE_S * 1e3)
        assert face.inner_text().startswith("face ")
        box, picture = face.bounding_box(), page.locator("canvas").first.bounding_box()
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=ARTEFACTS / "faces-1440.png")
        browser.close()
    left, top = (
        (box[edge] - picture[edge]) / picture[side]
        for edge, side in (("x", "width"), ("y", "height"))
    )
    right, bottom = left + box["width"] / picture["width"], top + box["height"] / picture["height"]
    assert (left, top, right, bottom) == pytest.approx(ONE_FACE[0][1], abs=0.06)  # it sways
    assert complaints == []


@contextmanager
def shown(packages: tuple[Package, Package]) -> Iterator[str]:
    """Run the example, with packages that are compiled already, and yield the page's address."""
    command = [sys.executable, "-c", START, str(packages[0].path)]
    with subprocess.Popen(command, cwd=EXAMPLE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("page: ").strip()
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
