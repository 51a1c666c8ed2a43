"""What stands beside weights: what they were really trained on, and how to train them again."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from phalanx.core.errors import InputError
from phalanx.core.files import file_checksum, read_json, write_json
from phalanx.core.json_values import Json
from phalanx.data.images import PICTURE_SUFFIXES
from phalanx.synth import SynthConfig
from phalanx.synth.paint.panorama import panorama_files
from phalanx.synth.things.folder import model_files
from phalanx.synth.version import ENGINE
from phalanx.train.curve import CURVE

Source = dict[str, Json]
"""A kind of data: `kind`, `labels` (those that were used), and what else tells it from others."""

NO_LICENCE = "not given"


def synthesis(config: SynthConfig, labels: str) -> Source:
    """The engine's own pictures."""
    source: Source = {
        "kind": "own synthesis",
        "engine": ENGINE,
        "domain": config.domain,
        "scene": config.scene,
        "depth_sensor": config.depth_sensor,
        "labels": labels,
    }
    if config.realism is not None:
        name, share = Path(config.realism).name, config.realism_share
        source["redrawn"] = {"by": name, "sha256": file_checksum(Path(config.realism)), "share": share}
    return source


def photographs(config: SynthConfig, licence: str) -> list[Source]:
    """The photographs behind synthetic hands, if a folder of them is given; their licence as the user gave it."""
    if config.backgrounds is None or config.photograph_share <= 0:
        return []
    return [picture_folder("photographs behind synthetic hands", config.backgrounds, licence)]


def panoramas(config: SynthConfig, licence: str) -> list[Source]:
    """The user's panoramas that hands stand in, if a folder of them is given; their licence as the user gave it."""
    if config.panoramas is None or config.panorama_share <= 0:
        return []
    count = {"pictures": len(panorama_files(Path(config.panoramas)))}
    return [_of_folder("panoramas around synthetic hands", config.panoramas, count, licence)]


def things(config: SynthConfig, licence: str) -> list[Source]:
    """The user's models of things about synthetic hands, if a folder of them is given; their licence as the user gave it."""
    if config.things is None:
        return []
    count = {"models": len(model_files(Path(config.things)))}
    return [_of_folder("models of things about synthetic hands", config.things, count, licence)]


def picture_folder(kind: str, folder: str | Path, licence: str = "") -> Source:
    """The pictures in a folder, which came without labels."""
    found = [path for path in Path(folder).rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES]
    return _of_folder(kind, folder, {"pictures": len(found)}, licence)


def recordings(folder: str | Path, frames: int, views: int, licence: str = "") -> Source:
    """Real frames that a network was fitted to without labels."""
    return _of_folder("recordings", folder, {"frames": frames, "views": views}, licence)


def _of_folder(kind: str, folder: str | Path, counts: dict[str, int], licence: str) -> Source:
    return {
        "kind": kind,
        "folder": Path(folder).name,
        **counts,
        "licence": licence or NO_LICENCE,
        "labels": "none",
    }


def begun_from(path: Path | None) -> dict[str, Json] | None:
    """What weights to begin with were: their file, its checksum, and data and start that their own card names; None: nothing."""
    if path is None:
        return None
    start: dict[str, Json] = {"file": path.name, "sha256": file_checksum(path)}
    try:
        card = read_json(path.with_suffix(".json"))
        start["data"] = card["data"]
        if card.get("start") is not None:
            start["start"] = card["start"]
    except (InputError, KeyError, TypeError):
        start["data"] = "unknown: there is no card beside it"
    return start


def write_card(
    path: Path,
    data: Sequence[Source],
    start: Mapping[str, Json] | None,
    settings: Mapping[str, object],
    run: Path | None = None,
) -> None:
    """Write the card of weights that this command trained in the folder `run` (default: that of `path`)."""
    card = {
        "data": list(data),
        "start": None if start is None else dict(start),
        "command": _command(),
        "commit": _commit(),
        "curve": _last_row((path.parent if run is None else run) / CURVE),
        "config": json.loads(json.dumps(settings, default=str)),
    }
    write_json(path, card, indent=1)


def _last_row(path: Path) -> dict[str, float]:
    lines = path.read_text().splitlines() if path.exists() else []
    if len(lines) < 2:
        return {}
    values = zip(lines[0].split(","), lines[-1].split(","), strict=True)
    return {name: float(value) for name, value in values if value}


def _command() -> str:
    """What this process was started with; a script by its own name."""
    script = Path(sys.argv[0]).name if sys.argv else ""
    ours = script in ("phalanx", "__main__.py") or not script.endswith(".py")
    return shlex.join(["phalanx" if ours else script, *sys.argv[1:]])


def _commit() -> str | None:
    """The commit the package's sources are at, if they are a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
