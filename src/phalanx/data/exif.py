"""What cameras write beside their pictures (EXIF) about their lens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_EXIF = 0x8769
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x920A, 0xA405
_WIDTH, _HEIGHT = 0xA002, 0xA003  # of the picture as the camera wrote it
_PLANE_X_RESOLUTION, _PLANE_UNIT = 0xA20E, 0xA210

_MILLIMETRES = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""By the number of the unit of resolution on the sensor; inches where there is none."""

_FULL_FRAME = math.hypot(36.0, 24.0)
"""Diagonal in millimetres of the film that focal lengths are brought to (CIPA DCG-001: by the diagonal)."""

_SAME_ASPECT = 0.02
"""Where the sides' ratio differs by more than this share from that of the picture as taken, it was cut out of it."""

SHORTEST, LONGEST = 0.3, 100.0
"""Focal lengths, in longer sides of the picture, that are believed; shorter ones are of lenses whose pictures are no pinhole's."""


def focal_length(exif: Any, width: int, height: int) -> float | None:
    """The focal length in pixels of a picture of that size, or None where its EXIF data do not tell.

    From the focal length for 35 mm film, by the diagonal; else from the one in millimetres and the sensor's resolution. Not told of a
    picture whose sides have another ratio than when it was taken, for it was cut out and nobody knows where; one that was made smaller
    or turned counts as whole. `exif` is Pillow's `Image.Exif`.
    """
    tags = exif.get_ifd(_EXIF)
    taken = sorted(_positive(tags, tag) for tag in (_WIDTH, _HEIGHT))
    now = sorted((float(width), float(height)))
    taken = now if taken[0] == 0 else taken
    if abs(math.log((taken[1] / taken[0]) / (now[1] / now[0]))) > _SAME_ASPECT:
        return None
    focal = _positive(tags, _FOCAL_LENGTH_35MM) / _FULL_FRAME * math.hypot(width, height)
    if not focal:
        unit = _MILLIMETRES.get(int(_positive(tags, _PLANE_UNIT)) or 2, 0.0)
        dots = _positive(tags, _PLANE_X_RESOLUTION) / unit if unit else 0.0  # pixels in a millimetre
        focal = _positive(tags, _FOCAL_LENGTH) * dots * now[1] / taken[1]
    return focal if SHORTEST <= focal / now[1] <= LONGEST else None


def _positive(tags: Mapping[int, Any], tag: int) -> float:
    """A number among the tags; 0 where there is none."""
    try:
        value = float(tags.get(tag, 0))
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0
