"""Folders as ZIP files: what is predicted, and archives that climb or explode."""

import base64
import io
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient

from phalanx.core.errors import InputError
from phalanx.predict.predictor import Predictor
from phalanx.serve.app import make_app
from phalanx.serve.archives import unpack
from phalanx.serve.limits import Limits

EXAMPLES = Path(__file__).parents[2] / "examples"
OPEN = (EXAMPLES / "open.jpg").read_bytes()


@pytest.fixture(scope="module")
def client():
    with TestClient(
        make_app(Predictor(), Limits()), base_url="http://localhost", raise_server_exceptions=False
    ) as made:
        yield made


def packed(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def asked(client, files):
    return client.post("/api/folder", content=packed(files) if isinstance(files, dict) else files)


def test_pictures(client):
    found = asked(client, {"mine/a.jpg": OPEN, "mine/b.jpg": b"no picture"}).json()
    assert len(found["said"]) == 1 and found["said"][0].startswith("a.jpg: right hand")
    assert found["skipped"] == ["b.jpg: is not a picture of a known kind, or is damaged at its start"]
    assert cv2.imdecode(np.frombuffer(base64.b64decode(found["overlays"]["a_overlay.png"]), np.uint8), 1) is not None
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(found["results"]))) as archive:
        assert {"a.json", "a.glb", "a_overlay.png"} <= set(archive.namelist())
        assert b"/tmp" not in archive.read("a.json") and json.loads(archive.read("a.json"))["hands"]


def test_pictures_with_depth(client):
    depth = cv2.imencode(".png", np.full((384, 384), 400, np.uint16))[1].tobytes()
    camera = json.dumps({"K": [400, 400, 191.5, 191.5], "depth_unit": 0.001})
    found = asked(client, {"a.jpg": OPEN, "depth/a.png": depth, "intrinsics.json": camera}).json()
    assert (len(found["said"]), len(found["skipped"])) in {(1, 0), (0, 1)}  # a flat wall may be no hand
    assert "a.jpg" in (found["said"] + found["skipped"])[0]


def test_a_rig(client):
    camera = {"width": 384, "height": 384, "K": [400, 400, 191.5, 191.5]}
    right = {**camera, "name": "right", "R": [0, 0, 0], "T": [-0.1, 0, 0]}
    left = {**camera, "name": "left", "world_to_camera": np.eye(4).tolist()}
    rig = json.dumps({"schema": "phalanx.rig/1", "unit": "m", "cameras": [left, right]})
    files = {"rig.json": rig, "left/0.jpg": OPEN, "right/0.jpg": OPEN}
    found = asked(client, files)
    assert found.status_code == 200 or "disagree" in found.json()["error"]  # one picture twice is no pair
    answer = asked(client, {name: data for name, data in files.items() if name != "right/0.jpg"})
    assert answer.status_code == 400 and "camera 'right' has no folder" in answer.json()["error"]


def test_archives_that_climb_or_explode(client, tmp_path):
    linked = io.BytesIO()
    with zipfile.ZipFile(linked, "w") as archive:
        entry = zipfile.ZipInfo("a.jpg")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    bomb = packed({"a.jpg": bytes(310_000_000)})
    whole = packed({"a.jpg": OPEN})
    for body, status, says in (
        (packed({"../a.jpg": OPEN}), 400, "leads out"),
        (packed({"/a.jpg": OPEN}), 400, "leads out"),
        (packed({"a/..\\..\\b.jpg": OPEN}), 400, "leads out"),
        (packed({"c:/a.jpg": OPEN}), 400, "leads out"),
        (linked.getvalue(), 400, "leads out"),
        (bomb, 413, "more than 300 MB"),
        (packed({f"{number}.jpg": b"" for number in range(601)}), 413, "more than 600 files"),
        (packed({}), 400, "empty"),
        (whole[: len(whole) // 2], 400, "no ZIP archive"),
        (whole[:200] + bytes(2000) + whole[2200:], 400, "damaged"),
        (OPEN, 400, "no ZIP archive"),
    ):
        answer = client.post("/api/folder", content=body)
        assert answer.status_code == status and says in answer.json()["error"], (says, answer.text)
        assert "/tmp" not in answer.text
    assert len(bomb) < 400_000
    (tmp_path / "a.zip").write_bytes(bomb)
    with pytest.raises(InputError, match="more than 1 MB"):
        unpack(tmp_path / "a.zip", tmp_path / "out", Limits(folder_bytes=1_000_000))
    assert (tmp_path / "out" / "a.jpg").stat().st_size <= 1_000_000
