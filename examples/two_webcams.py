"""Two calibrated cameras in, one hand in metres out, a line a moment.

    phalanx rig calibrate left.mp4 right.mp4 --K 920,920,640,360 --out rig.json      # once, by moving one hand before both
    python examples/two_webcams.py rig.json 0 1

Cameras should be synchronous: a hand at 1 m/s is 33 mm farther on a frame later. docs/rigs.md says what a rig file holds.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

import phalanx
from phalanx.data.live_camera import LiveCamera


def watch(rig: str, sources: list[int | str], most: int | None = None) -> int:
    """Print the hand that the cameras show until one of them ends; returns the number of moments in which there was one."""
    predict, moments, found = phalanx.RigPredictor(rig), 0, 0
    with ExitStack() as stack:
        cameras = [stack.enter_context(LiveCamera(source)) for source in sources]
        while most is None or moments < most:
            frames = [camera.next() for camera in cameras]
            images = [frame.image for frame in frames if frame is not None]
            if len(images) < len(cameras):
                break
            moments += 1
            hand = predict(images, frames[0].time)
            if hand is None:
                continue
            found += 1
            x, y, z = hand.joints[0]
            states = ", ".join(f"{view.name} {view.state}" for view in hand.views)
            print(f"{hand.time:.3f} s: {hand.side} wrist at {x:.3f}, {y:.3f}, {z:.3f} m ({states})", flush=True)
    return found


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        watch(sys.argv[1], [int(word) if word.isdecimal() else word for word in sys.argv[2:]])
    except phalanx.InputError as problem:
        sys.exit(str(problem))
