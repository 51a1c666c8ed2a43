"""The joint angles of the hand in every picture of a folder, as a CSV file.

    python examples/angles_to_csv.py examples angles.csv

One row a picture: file, side, score, and the 23 angles in degrees (docs/conventions.md has their signs). Pictures that cannot be
read are named and skipped.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import phalanx
from phalanx.core.files import write_whole
from phalanx.data.images import PICTURE_SUFFIXES
from phalanx.hand.anatomy import ANGLE_NAMES


def angles_to_csv(folder: Path, table: Path) -> int:
    """Write the table; returns the number of pictures that were skipped."""
    predict = phalanx.Predictor()
    skipped = 0
    with write_whole(table) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "side", "score", *ANGLE_NAMES])
        for picture in sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES):
            try:
                hands = predict(picture)
            except phalanx.InputError as problem:
                print(problem, file=sys.stderr)
                skipped += 1
                continue
            for hand in hands:
                degrees = [f"{hand.angles_degrees[name]:.1f}" for name in ANGLE_NAMES]
                writer.writerow([picture.name, hand.side, f"{hand.score:.2f}", *degrees])
    return skipped


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(2 if angles_to_csv(Path(sys.argv[1]), Path(sys.argv[2])) else 0)
