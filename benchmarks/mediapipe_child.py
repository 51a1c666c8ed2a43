"""What the workers of MediaPipe share: the pictures behind their pipes, one after the other. Imports nothing of Phalanx."""

import sys
import time

from child import Answers, requests


def serve(describe, **options):
    """Answer each picture (a line of JSON `{"height": H, "width": W}`, then H x W x 3 bytes of RGB) with what Hands finds in it.

    The first answer is `{"version": ...}` or `{"error": ...}`. `options` are those of Hands, whose full model is taken;
    `describe(result, width, height)` says what was found, to which `ms` and `cpu_ms` are added.
    """
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
    hands = mediapipe.solutions.hands.Hands(model_complexity=1, **options)
    answer({"version": mediapipe.__version__})
    for size in requests():
        height, width = size["height"], size["width"]
        image = np.frombuffer(sys.stdin.buffer.read(height * width * 3), np.uint8).reshape(height, width, 3)
        start, cpu_start = time.perf_counter(), time.process_time()
        result = hands.process(image)
        times = {"ms": (time.perf_counter() - start) * 1e3, "cpu_ms": (time.process_time() - cpu_start) * 1e3}
        answer({**describe(result, width, height), **times})
