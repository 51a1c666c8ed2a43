"""A webcam in, the pose of each wrist out, a line of ROS-like JSON a hand and frame: what a robot's arm follows.

    python examples/webcam_to_wrist.py 0                  # the first camera
    python examples/webcam_to_wrist.py clip.mp4 --most 100 # a file plays as if it were a camera

The pose leads from the wrist's frame (docs/robots.md) to the camera's, metres; for an arm, multiply by your calibration of the camera.
"""

from __future__ import annotations

import argparse
import json

import phalanx
from phalanx.data.live_camera import LiveCamera
from phalanx.hand.formats.ros import to_ros


def follow(source: int | str, most: int | None = None, K: str | None = None) -> int:
    """Print the hands of a camera until it ends; returns the number of frames that were seen."""
    tracker, seen = phalanx.Tracker(K=K), 0
    with LiveCamera(source) as camera:
        while most is None or seen < most:
            frame = camera.next()
            if frame is None:
                break
            seen += 1
            for hand in tracker(frame.image, frame.time):
                try:
                    print(
                        json.dumps({"id": hand.id, "side": hand.side, "score": hand.score, **to_ros(hand)}), flush=True
                    )
                except phalanx.InputError:  # a palm seen edge on may have no plane
                    continue
    return seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="number of a camera, or a video file")
    parser.add_argument("--most", type=int, help="frames after which it ends")
    parser.add_argument("--K", help="camera matrix fx,fy,cx,cy or a calibration file; without it distances are guesses")
    arguments = parser.parse_args()
    source = int(arguments.source) if arguments.source.isdecimal() else arguments.source
    try:
        follow(source, arguments.most, arguments.K)
    except phalanx.InputError as problem:
        raise SystemExit(str(problem)) from None
