"""MediaPipe Hands behind a pipe, all hands of a picture. Imports nothing of Phalanx.

    python benchmarks/mediapipe_hands_worker.py HANDS

In: a line of JSON `{"height": H, "width": W}`, then H x W x 3 bytes of RGB. Out: first a line `{"version": ...}` or `{"error": ...}`, then
for each picture a line `{"hands": [{"joints_2d": [21][2], "joints": [21][3], "score": float, "side": "left"}, ...], "ms": float,
"cpu_ms": float}`, joints in pixels and in metres (x right, y down, z away from the camera). At most HANDS hands, static mode, the full
model, the usual threshold. The side is that of a picture that is no mirror image.
"""

import sys

from mediapipe_child import serve


def every_hand(result, width, height):
    """The joints, score and side of each hand."""
    found = []
    seen = (result.multi_hand_landmarks or [], result.multi_hand_world_landmarks or [], result.multi_handedness or [])
    for landmarks, world, kinds in zip(*seen, strict=True):
        kind = kinds.classification[0]
        found.append(
            {
                "joints_2d": [[point.x * width, point.y * height] for point in landmarks.landmark],
                "joints": [[point.x, point.y, point.z] for point in world.landmark],
                "score": kind.score,
                "side": "left" if kind.label == "Right" else "right",  # it takes pictures for mirror images
            }
        )
    return {"hands": found}


if __name__ == "__main__":
    serve(every_hand, static_image_mode=True, max_num_hands=int(sys.argv[1]))
