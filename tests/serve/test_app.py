"""The server by its routes: what it answers, and what it refuses."""

import asyncio
import base64
import io
import json
import threading
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from phalanx.cli import main
from phalanx.predict.predictor import Predictor
from phalanx.serve.app import PAGES, make_app
from phalanx.serve.limits import Limits
from phalanx.serve.work import Busy, FairWork

EXAMPLES = Path(__file__).parents[2] / "examples"
OPEN = (EXAMPLES / "open.jpg").read_bytes()
HERE = "http://localhost"


@pytest.fixture(scope="module")
def predictor():
    return Predictor()


@pytest.fixture(scope="module")
def client(predictor):
    limits = Limits(
        picture_bytes=2_000_000, picture_pixels=2_000_000, clip_seconds=5, frame_bytes=300_000, frame_pixels=500_000
    )
    with TestClient(make_app(predictor, limits), base_url=HERE, raise_server_exceptions=False) as made:
        yield made


def clip(path, frames, size=128):
    image = cv2.resize(cv2.imread(str(EXAMPLES / "open.jpg")), (size, size))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (size, size))
    for _ in range(frames):
        writer.write(image)
    writer.release()
    return path.read_bytes()


def test_the_page_and_what_it_loads(client):
    for name, (_, kind) in PAGES.items():
        answer = client.get(f"/{name}")
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    page = client.get("/").text
    assert "http:" not in page and "https:" not in page and "//" not in page.replace("</", "")  # nothing from elsewhere
    assert client.get("/openapi.json").json()["openapi"] == "3.1.0"


def test_a_picture(client):
    found = client.post("/api/picture", content=OPEN).json()
    (hand,) = found["hands"]
    assert hand["side"] == "right" and len(hand["joints"]) == 21 and (found["width"], found["height"]) == (384, 384)
    vertices = np.frombuffer(base64.b64decode(hand["vertices"]), "<f4").reshape(-1, 3)
    faces = np.frombuffer(base64.b64decode(found["faces"]), "<u4").reshape(-1, 3)
    assert faces.max() == len(vertices) - 1
    mesh = trimesh.load(io.BytesIO(base64.b64decode(found["glb"])), file_type="glb", force="mesh")
    assert len(mesh.vertices) == len(vertices)
    assert found["mediapipe"]["handedness"][0][0]["category_name"] == "Right"


def test_a_picture_without_hands(client):
    blank = cv2.imencode(".png", np.full((64, 96, 3), 130, np.uint8))[1].tobytes()
    found = client.post("/api/picture", content=blank).json()
    assert found["hands"] == [] and found["glb"] is None and "faces" not in found


def test_a_clip(client, tmp_path):
    found = client.post("/api/clip", content=clip(tmp_path / "a.mp4", 6)).json()
    assert len(found["frames"]) == 6 and found["frames"][3]["hands"][0]["id"] == 0
    assert {Path(name).suffix for name in found["files"]} >= {".json", ".csv", ".glb", ".bvh"}
    assert base64.b64decode(found["files"]["hands_hand0.bvh"]).startswith(b"HIERARCHY")
    data = json.loads(base64.b64decode(found["files"]["hands.json"]))
    assert (
        data["schema"] == "phalanx.video/1"
        and data["input"] == "clip"
        and "file" not in data
        and len(data["frames"]) == 6
    )
    assert not any(b"phalanx-" in base64.b64decode(content) for content in found["files"].values())


def refused(answer, status, says):
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"] and says in answer.json()["error"]
    assert "/tmp" not in answer.text and "phalanx-" not in answer.text


def test_what_is_refused(client, tmp_path):
    big = cv2.imencode(".png", np.zeros((1500, 1500), np.uint8))[1].tobytes()
    refused(client.post("/api/picture", content=b""), 400, "no file as its body")
    refused(client.post("/api/picture", content=b"no picture"), 400, "not a picture")
    refused(client.post("/api/picture", content=OPEN[: len(OPEN) // 2]), 400, "truncated")
    refused(client.post("/api/picture", content=big), 413, "more than 2 million pixels")
    refused(client.post("/api/picture", content=bytes(2_100_000)), 413, "more than 2 MB")
    refused(client.post("/api/clip", content=b"no video at all" * 40), 400, "no video")
    refused(client.post("/api/clip", content=clip(tmp_path / "long.mp4", 180, 64)), 413, "longer than 5 seconds")
    refused(client.get("/api/picture"), 405, "cannot be asked")
    for path in ("/none", "/../pyproject.toml", "/%2e%2e/pyproject.toml", "/pages/app.js", "/api"):
        refused(client.get(path), 404, "nothing of this name")


def test_who_may_ask(client):
    refused(client.get("/", headers={"host": "evil.example"}), 403, "another name")
    refused(client.get("/", headers={"host": "["}), 403, "another name")
    refused(
        client.post("/api/picture", content=OPEN, headers={"origin": "http://evil.example"}), 403, "not of this server"
    )
    refused(client.post("/api/picture", content=OPEN, headers={"origin": "null"}), 403, "not of this server")
    assert client.post("/api/picture", content=OPEN, headers={"origin": HERE}).status_code == 200
    for origin in ({}, {"origin": "http://evil.example"}):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://localhost/api/webcam", headers=origin):
            pass


def test_nothing_is_kept(client, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    client.post("/api/picture", content=OPEN)
    client.post("/api/picture", content=b"no picture")
    client.post("/api/clip", content=clip(tmp_path / "a.mp4", 2))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_webcam(client):
    small = cv2.imencode(".jpg", cv2.resize(cv2.imread(str(EXAMPLES / "open.jpg")), (256, 256)))[1].tobytes()
    with client.websocket_connect("ws://localhost/api/webcam", headers={"origin": HERE}) as socket:
        for number in range(3):
            socket.send_bytes(small)
            found = socket.receive_json()
            assert found["hands"][0]["id"] == 0 and found["time"] >= 0, number
        for bad, says in (
            (b"no picture", "no whole JPEG"),
            (small[:500], "no whole JPEG"),
            (bytes(300_001), "more than"),
            (cv2.imencode(".png", np.zeros((800, 800), np.uint8))[1].tobytes(), "million pixels"),
            (cv2.imencode(".png", np.zeros((200, 200, 3), np.uint8))[1].tobytes(), "frames before it"),
        ):
            socket.send_bytes(bad)
            assert says in socket.receive_json()["error"]
        socket.send_text("text")
        assert "as bytes" in socket.receive_json()["error"]
        socket.send_bytes(small)
        assert socket.receive_json()["hands"][0]["id"] == 0


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    path=st.sampled_from(["/api/picture", "/api/clip", "/openapi.json", "/", "/x"])
    | st.text(max_size=20).map(lambda text: "/" + text),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS"]),
    body=st.binary(max_size=300)
    | st.binary(max_size=60).map(lambda tail: OPEN[:700] + tail)
    | st.just(b"\x89PNG\r\n\x1a\n" + bytes(40)),
    header=st.sampled_from(
        [{}, {"x-page": "a" * 5000}, {"content-type": "multipart/form-data"}, {"range": "bytes=0-9"}]
    ),
)
def test_hostile_requests_get_one_sentence(client, path, method, body, header):
    try:
        answer = client.request(method, path, content=body, headers=header)
    except Exception as error:  # what no client can send
        assert "URL" in repr(error) or "ascii" in repr(error) or "Url" in repr(error), error
        return
    assert answer.status_code in (200, 400, 403, 404, 405, 413)
    if answer.status_code != 200 and method != "HEAD":
        assert list(answer.json()) == ["error"] and "\n" not in answer.json()["error"]


def test_pages_take_turns():
    async def turns():
        work, done, gate = FairWork(1, 8, 4), [], threading.Event()
        first = asyncio.create_task(work.run("a", gate.wait))
        await asyncio.sleep(0.05)
        asked = (("a", 0), ("a", 1), ("a", 2), ("b", 0), ("c", 0))
        waits = [asyncio.create_task(work.run(page, partial(done.append, (page, k)))) for page, k in asked]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, *waits)
        work.close()
        return done

    assert asyncio.run(turns()) == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("a", 2)]


def test_too_much_waits_for_nothing():
    async def refuse():
        work, gate = FairWork(1, 3, 2), threading.Event()
        tasks = [asyncio.create_task(work.run("a", gate.wait)) for _ in range(3)]  # one runs, two wait
        await asyncio.sleep(0.05)
        with pytest.raises(Busy):
            await work.run("a", lambda: None)
        tasks.append(asyncio.create_task(work.run("b", lambda: None)))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await work.run("c", lambda: None)
        tasks[1].cancel()
        gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert work.waiting == 0
        with pytest.raises(ZeroDivisionError):
            await work.run("a", lambda: 1 / 0)
        assert await work.run("a", lambda: 7) == 7
        work.close()

    asyncio.run(refuse())


def test_slow_uploads_end(predictor):
    app = make_app(predictor, Limits(upload_seconds=0.2))

    async def slowly():
        sent = []

        async def receive():
            await asyncio.sleep(1)
            return {"type": "http.request", "body": b"a", "more_body": True}

        scope = {
            "type": "http", "method": "POST", "path": "/api/picture", "raw_path": b"/api/picture", "query_string": b"",
            "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("localhost", 80), "scheme": "http",
        }  # fmt: skip

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)
        return sent

    start = time.monotonic()
    sent = asyncio.run(slowly())
    assert sent[0]["status"] == 408 and "took more than" in json.loads(sent[1]["body"])["error"]
    assert time.monotonic() - start < 0.9


def test_options_of_the_command(capsys):
    for arguments in (["--port", "0"], ["--port", "70000"], ["--threads", "0"]):
        assert main(["serve", *arguments]) == 2
        assert arguments[0] in capsys.readouterr().err
