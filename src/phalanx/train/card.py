"""What stands beside weights: what they were trained on, and how to train them again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phalanx.core.files import write_json
from phalanx.train.curve import CURVE


def write_card(path: Path, config: Mapping[str, Any]) -> None:
    """Write the card of weights that this command trained in the folder of `path`."""
    card = {
        "data": "the project's own synthesis only; no real picture",
        "command": "phalanx " + " ".join(sys.argv[1:]),
        "commit": _commit(),
        "curve": _last_row(path.parent / CURVE),
        "config": json.loads(json.dumps(config, default=str)),
    }
    write_json(path, card, indent=1)


def _last_row(path: Path) -> dict[str, float]:
    lines = path.read_text().splitlines() if path.exists() else []
    if len(lines) < 2:
        return {}
    values = zip(lines[0].split(","), lines[-1].split(","), strict=True)
    return {name: float(value) for name, value in values if value}


def _commit() -> str | None:
    """The commit the package's sources are at, if they are a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
