"""MediaPipe Hands behind a pipe: pictures on standard input, joints on standard output. Imports nothing of Phalanx.

In: a line of JSON `{"height": H, "width": W}`, then H x W x 3 bytes of RGB. Out: first a line `{"version": ...}` or
`{"error": ...}`, then for each picture a line `{"joints_2d": [21][2], "joints": [21][3], "ms": float, "cpu_ms": float}`, joints
in pixels and in metres (x right, y down, z away from the camera), null if no hand was found. With the argument `video` the pictures are
frames that follow each other: it tracks the hand from one to the next, and smooths.
"""

import sys

from mediapipe_child import serve


def hand(result, width, height):
    """The joints of the first hand, null if there is none."""
    if not result.multi_hand_landmarks:
        return {"joints_2d": None, "joints": None}
    landmarks, world = result.multi_hand_landmarks[0].landmark, result.multi_hand_world_landmarks[0].landmark
    return {
        "joints_2d": [[point.x * width, point.y * height] for point in landmarks],
        "joints": [[point.x, point.y, point.z] for point in world],
    }


if __name__ == "__main__":
    # Every picture is taken on its own (detection and landmarks), unless they are frames of a video
    serve(hand, static_image_mode="video" not in sys.argv[1:], max_num_hands=1)
