"""MediaPipe Hands behind a pipe: pictures on standard input, joints on standard output. Imports nothing of Phalanx.

In: a line of JSON `{"height": H, "width": W}`, then H x W x 3 bytes of RGB. Out: first a line `{"version": ...}` or
`{"error": ...}`, then for each picture a line `{"joints_2d": [21][2], "joints": [21][3], "ms": float, "cpu_ms": float}`, joints
in pixels and in metres (x right, y down, z away from the camera), null if no hand was found. With the argument `video` the pictures are
frames that follow each other: it tracks the hand from one to the next, and smooths.
"""

import sys
import time

from child import Answers, requests


def main() -> None:
    answer = Answers()
    try:
        import mediapipe
        import numpy as np
    except ImportError as error:
        answer({"error": f"cannot import MediaPipe ({error})"})
        return
    if not hasattr(mediapipe, "solutions"):
        answer({"error": f"MediaPipe {mediapipe.__version__} no longer has the legacy solutions; install 0.10.21"})
        return
    # The full model; every picture is taken on its own (detection and landmarks), unless they are frames of a video
    alone = "video" not in sys.argv[1:]
    hands = mediapipe.solutions.hands.Hands(static_image_mode=alone, max_num_hands=1, model_complexity=1)
    answer({"version": mediapipe.__version__})
    for size in requests():
        height, width = size["height"], size["width"]
        image = np.frombuffer(sys.stdin.buffer.read(height * width * 3), np.uint8).reshape(height, width, 3)
        start, cpu_start = time.perf_counter(), time.process_time()
        result = hands.process(image)
        times = {"ms": (time.perf_counter() - start) * 1e3, "cpu_ms": (time.process_time() - cpu_start) * 1e3}
        if not result.multi_hand_landmarks:
            answer({"joints_2d": None, "joints": None, **times})
            continue
        landmarks, world = result.multi_hand_landmarks[0].landmark, result.multi_hand_world_landmarks[0].landmark
        answer(
            {
                "joints_2d": [[point.x * width, point.y * height] for point in landmarks],
                "joints": [[point.x, point.y, point.z] for point in world],
                **times,
            }
        )


if __name__ == "__main__":
    main()
