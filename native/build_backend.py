"""scikit-build-core, but an editable install puts nothing else on ``sys.path``.

Its editable wheels find our modules through an import hook, and add the folders around the
sources to ``sys.path`` besides. Here these are the repository's root and the folder above it, so
that ``import rpc`` (or ``tests``) would work anywhere; only the hook is kept.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from scikit_build_core.build import build_editable as _build_editable
from scikit_build_core.build import (
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


def build_editable(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build an editable wheel (PEP 660); its file name."""
    name = _build_editable(wheel_directory, config_settings, metadata_directory)
    _keep_only_hook(Path(wheel_directory, name))
    return str(name)


def _keep_only_hook(wheel: Path) -> None:
    """Drop the folders from the wheel's ``.pth``, and correct its RECORD."""
    with zipfile.ZipFile(wheel) as archive:
        entries = {info: archive.read(info) for info in archive.infolist()}
    changed = {}
    for info, data in entries.items():
        if info.filename.endswith(".pth"):
            lines = [line for line in data.splitlines(True) if line.startswith(b"import ")]
            changed[info.filename] = b"".join(lines)
    with tempfile.TemporaryDirectory(dir=wheel.parent) as folder:
        made = Path(folder, wheel.name)
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for info, data in entries.items():
                if info.filename.endswith(".dist-info/RECORD"):
                    data = _record(data.decode(), changed).encode()
                archive.writestr(info, changed.get(info.filename, data))
        shutil.move(made, wheel)


def _record(text: str, changed: dict[str, bytes]) -> str:
    lines = []
    for line in text.splitlines():
        name = line.rsplit(",", 2)[0]
        if name in changed:
            digest = base64.urlsafe_b64encode(hashlib.sha256(changed[name]).digest())
            line = f"{name},sha256={digest.decode().rstrip('=')},{len(changed[name])}"
        lines.append(f"{line}\n")
    return "".join(lines)
