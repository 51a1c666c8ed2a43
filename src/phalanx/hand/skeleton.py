"""What a hand's skeleton is: 21 joints, their tree, and the orders in which others list them.

The order is the one of MediaPipe, OpenPose and FreiHAND: wrist, then thumb CMC-MCP-IP-tip and for index, middle, ring and
little finger MCP-PIP-DIP-tip.

            8   12  16  20
        4   7   11  15  19
         3  6   10  14  18
          2 5   9   13  17
           1   \\  |  /
               0
"""

from __future__ import annotations

from phalanx.core.arrays import Array, lengths

FINGER_NAMES = ("thumb", "index", "middle", "ring", "little")

JOINT_NAMES = (
    "wrist",
    "thumb_cmc",
    "thumb_mcp",
    "thumb_ip",
    "thumb_tip",
    *(f"{finger}_{joint}" for finger in FINGER_NAMES[1:] for joint in ("mcp", "pip", "dip", "tip")),
)

PARENTS = (-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)

FINGERS = tuple(tuple(range(4 * k + 1, 4 * k + 5)) for k in range(5))
"""The four joints of each finger, base to tip."""

MIDDLE_CHAIN = [0, *FINGERS[2]]
"""From the wrist to the middle finger's tip: along it the length of a hand is measured."""

PALM = (0, *(finger[0] for finger in FINGERS))
"""Wrist, thumb base and knuckles, which are rigid."""

TIPS = tuple(finger[3] for finger in FINGERS)

ROTATING = (0, *(joint for finger in FINGERS for joint in finger[:3]))
"""The 16 joints that rotate: the wrist and three of each finger."""

FOREARM = 1
"""Segment of the hand model that is the forearm; 0 is the palm, and then come three of each finger, thumb first."""

BONES = tuple((PARENTS[joint], joint) for joint in range(1, 21))

BONE_TOTAL = 0.8220
"""Length of all 20 bones of the open hand's mean shape, metres."""


def hand_scale(joints: Array) -> Array:
    """Size (B,) of hands with joints (B, 21, 3) in metres, whatever their pose: 1 is the open hand's mean shape."""
    start, end = (list(side) for side in zip(*BONES, strict=True))
    return lengths(joints[:, end] - joints[:, start])[..., 0].sum(1) / BONE_TOTAL


ORDERS: dict[str, tuple[int, ...]] = {
    "phalanx": tuple(range(21)),
    "mano": (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20),
    "rhd": (0, 4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17),
    "interhand": (20, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 19, 18, 17, 16),
    "hands2017": (0, 1, 6, 7, 8, 2, 9, 10, 11, 3, 12, 13, 14, 4, 15, 16, 17, 5, 18, 19, 20),
    "msra15": (0, 17, 18, 19, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16),
    "stb": (0, 17, 18, 19, 20, 13, 14, 15, 16, 9, 10, 11, 12, 5, 6, 7, 8, 1, 2, 3, 4),
}
"""Joint orders by name: for each of the 21 joints here its number there.

- `phalanx` is also MediaPipe's, OpenPose's and FreiHAND's.
- `mano`: the 16 joints of MANO (wrist, then index, middle, little, ring finger, thumb), then the tips, thumb first; DexYCB and HO-3D.
- `rhd`: wrist, then of each finger from the thumb on tip to base.
- `interhand`: the same, and the wrist last; of two hands the right one first.
- `hands2017`: wrist, the five bases from the thumb on, then of each finger the other three. BigHand2.2M and F-PHAB, too.
- `msra15`: wrist, then index, middle, ring, little finger, thumb.
- `stb`: palm centre, then little, ring, middle, index finger, thumb (`WITHOUT_WRIST`).
"""

WITHOUT_WRIST = frozenset({"stb"})
"""Orders whose first joint is the palm's centre and not the wrist."""
