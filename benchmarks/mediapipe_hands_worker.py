"""MediaPipe Hands behind a pipe, all hands of a picture. Imports nothing of Phalanx.

    python benchmarks/mediapipe_hands_worker.py HANDS

In: a line of JSON `{"height": H, "width": W}`, then H x W x 3 bytes of RGB. Out: first a line `{"version": ...}` or `{"error": ...}`, then
for each picture a line `{"hands": [{"joints_2d": [21][2], "score": float, "side": "left"}, ...], "ms": float}`, joints in pixels. At most
HANDS hands, static mode, the full model, the usual threshold. The side is that of a picture that is no mirror image.
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
    hands = mediapipe.solutions.hands.Hands(static_image_mode=True, max_num_hands=int(sys.argv[1]), model_complexity=1)
    answer({"version": mediapipe.__version__})
    for size in requests():
        height, width = size["height"], size["width"]
        image = np.frombuffer(sys.stdin.buffer.read(height * width * 3), np.uint8).reshape(height, width, 3)
        start = time.perf_counter()
        result = hands.process(image)
        ms = (time.perf_counter() - start) * 1e3
        found = []
        for landmarks, kinds in zip(result.multi_hand_landmarks or [], result.multi_handedness or [], strict=True):
            kind = kinds.classification[0]
            found.append(
                {
                    "joints_2d": [[point.x * width, point.y * height] for point in landmarks.landmark],
                    "score": kind.score,
                    "side": "left" if kind.label == "Right" else "right",  # it takes pictures for mirror images
                }
            )
        answer({"hands": found, "ms": ms})


if __name__ == "__main__":
    main()
