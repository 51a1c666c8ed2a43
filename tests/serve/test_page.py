"""The page in headless Chromium: a real upload, keys, a fake webcam."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    not os.environ.get("PHALANX_NODE_MODULES"), reason="PHALANX_NODE_MODULES names no folder of node modules"
)
@pytest.mark.skipif(
    not shutil.which("node") or not shutil.which("chromium"), reason="node or chromium is not installed"
)
def test_people_use_it(tmp_path):
    picture = cv2.resize(cv2.imread(str(ROOT / "examples" / "open.jpg")), (640, 480))
    (tmp_path / "frames.mjpeg").write_bytes(cv2.imencode(".jpg", picture)[1].tobytes() * 5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    server = subprocess.Popen(
        [sys.executable, "-m", "phalanx", "serve", "--port", str(port), "--quiet"], env=environment
    )
    try:
        for _ in range(150):
            time.sleep(0.2)
            try:
                urllib.request.urlopen(f"http://localhost:{port}/").read()
                break
            except OSError:
                continue
        script, example = ROOT / "tests" / "helpers" / "serve_browser.mjs", ROOT / "examples" / "open.jpg"
        command = [
            "node",
            script,
            os.environ["PHALANX_NODE_MODULES"],
            f"http://localhost:{port}/",
            example,
            tmp_path / "frames.mjpeg",
            tmp_path,
        ]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    finally:
        server.terminate()
        server.wait(10)
    seen = json.loads(done.stdout)
    assert seen["errors"] == []
    for look in (seen["wide"], seen["phone"]):
        assert look["state"] == "1 hand: right hand." and look["wide"] and look["named"]
        assert look["files"] == ["open.json", "open_mediapipe.json", "open_angles.csv", "open.glb"]
        assert look["before"][0] > 3000 and look["after"][0] > 1000 and look["before"] != look["after"]
    print(f"{seen['latency']} ms from frame to joints")
    assert seen["latency"] > 0 and "ms from frame to joints" in seen["webcam"] and seen["off"] == "The webcam is off."
