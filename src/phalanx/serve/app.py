"""The server: a page, and what it asks for. Starlette; one predictor for all.

    GET /                 the page (`pages/`)
    POST /api/picture     a picture as the body -> its hands
    POST /api/folder      a ZIP file as the body -> what is predicted of the folder in it
    POST /api/clip        a video as the body -> its hands frame by frame, and files
    WS /api/webcam        encoded frames -> the hands of each
    GET /openapi.json     this, for machines

Nothing that a client sends is kept: bodies lie in a private folder until the answer is made. Only pages from this server may ask, and
only by the names of this host (against other pages in the same browser, and against rebound names).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from phalanx import __version__
from phalanx.core.errors import InputError
from phalanx.predict.predictor import Predictor
from phalanx.serve.answers import Webcam, clip_answer, picture_answer
from phalanx.serve.archives import folder_answer
from phalanx.serve.limits import Limits, TooLarge, TooSlow, private_folder, save_body
from phalanx.serve.work import Busy, FairWork

LOCAL = ("localhost", "127.0.0.1", "[::1]")
"""Names of this host that are always good."""

PAGES = {
    "": ("index.html", "text/html"),
    "index.html": ("index.html", "text/html"),
    "style.css": ("style.css", "text/css"),
    "app.js": ("app.js", "text/javascript"),
    "view.js": ("view.js", "text/javascript"),
    "three.module.min.js": ("three.module.min.js", "text/javascript"),
    "OrbitControls.js": ("OrbitControls.js", "text/javascript"),
    "three.LICENSE.txt": ("three.LICENSE.txt", "text/plain"),
}
"""What of `pages/` is served, by its path, and as what."""

HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self'; "
    "script-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

STATUS: tuple[tuple[type[InputError], int], ...] = ((TooLarge, 413), (TooSlow, 408), (Busy, 503))


def make_app(
    predictor: Predictor | None = None, limits: Limits | None = None, hosts: Sequence[str] = LOCAL, threads: int = 1
) -> Starlette:
    """The server as an ASGI application.

    Args:
        predictor: None makes the default one.
        limits: of what is taken.
        hosts: names by which it may be asked; `LOCAL` always.
        threads: that predict at once.
    """
    limits = limits or Limits()
    shared = Predictor() if predictor is None else predictor
    shared.load_detector()
    work = FairWork(threads, limits.waiting, limits.waiting_each)
    names = {name.lower() for name in (*LOCAL, *hosts)}
    webcams: set[WebSocket] = set()

    async def picture(request: Request) -> Response:
        return await _upload(request, limits.picture_bytes, picture_answer)

    async def clip(request: Request) -> Response:
        return await _upload(request, limits.clip_bytes, clip_answer)

    async def folder(request: Request) -> Response:
        return await _upload(request, limits.clip_bytes, folder_answer)

    async def _upload(request: Request, most: int, answer: Any) -> Response:
        _check_asker(request, names)
        stated = request.headers.get("content-length", "0")
        if stated.isdecimal() and int(stated) > most:
            raise TooLarge(f"the file has more than {most // 1_000_000} MB")
        with private_folder() as folder:
            path = folder / "file"
            if await save_body(request.stream(), path, most, limits.upload_seconds) == 0:
                raise InputError("the request has no file as its body")
            return JSONResponse(await work.run(_page(request), lambda: answer(shared, path, limits)), headers=HEADERS)

    async def webcam(socket: WebSocket) -> None:
        try:
            _check_asker(socket, names, strict=True)
            if len(webcams) >= limits.webcams:
                raise Busy("too many webcams are open")
        except InputError:
            await socket.close(1008)
            return
        await socket.accept()
        webcams.add(socket)
        camera, begun = Webcam(shared, limits), time.monotonic()
        try:
            while True:
                message = await asyncio.wait_for(socket.receive(), limits.idle_seconds)
                if message["type"] == "websocket.disconnect":
                    return
                frame = message.get("bytes")
                try:
                    if frame is None:
                        raise InputError("a frame must be sent as bytes")
                    if len(frame) > limits.frame_bytes:
                        raise TooLarge(f"the frame has more than {limits.frame_bytes // 1_000_000} MB")
                    now = time.monotonic() - begun
                    found = await work.run(f"webcam {id(socket)}", lambda: camera.answer(frame, now))  # noqa: B023
                    await socket.send_text(json.dumps(found))
                except InputError as error:
                    await socket.send_text(json.dumps({"error": str(error)}))
        except (WebSocketDisconnect, asyncio.TimeoutError, RuntimeError):
            with contextlib.suppress(Exception):
                await socket.close(1001)
        finally:
            webcams.discard(socket)

    async def page(request: Request) -> Response:
        _check_asker(request, names)
        name = request.path_params.get("name", "")
        if name not in PAGES:
            raise HTTPException(404)
        file, kind = PAGES[name]
        content = (resources.files("phalanx") / "serve" / "pages" / file).read_bytes()
        return Response(content, media_type=kind, headers=HEADERS)

    async def openapi(request: Request) -> Response:
        _check_asker(request, names)
        return JSONResponse(describe(limits), headers=HEADERS)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        work.close()

    app = Starlette(
        routes=[
            Route("/api/picture", picture, methods=["POST"]),
            Route("/api/clip", clip, methods=["POST"]),
            Route("/api/folder", folder, methods=["POST"]),
            WebSocketRoute("/api/webcam", webcam),
            Route("/openapi.json", openapi),
            Route("/", page),
            Route("/{name}", page),
        ],
        exception_handlers={InputError: _refusal, HTTPException: _http, Exception: _fault},
        lifespan=lifespan,
    )
    app.state.work = work
    return app


def _check_asker(connection: HTTPConnection, names: set[str], strict: bool = False) -> None:
    """Raises HTTPException or InputError for another host's name, or a page of another server; `strict`: a page must say whose it is."""
    host = connection.headers.get("host", "")
    if _name_of(f"//{host}") not in names:
        raise Forbidden("this server is asked by another name than its own; see phalanx serve --allow")
    origin = connection.headers.get("origin")
    if origin is None and not strict:
        return
    if origin is None or urlsplit(origin).netloc.lower() != host.lower():
        raise Forbidden("the page that asks is not of this server")


class Forbidden(InputError):
    """Who asks may not."""


def _name_of(address: str) -> str:
    try:
        name = (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""
    return f"[{name}]" if ":" in name else name


def _page(request: Request) -> str:
    """Who waits in one line: the page's own word, else the address."""
    word = request.headers.get("x-page", "")[:64]
    return f"{request.client.host if request.client else ''} {word}"


async def _refusal(request: Any, error: Exception) -> Response:
    status = next(
        (code for kind, code in STATUS if isinstance(error, kind)), 403 if isinstance(error, Forbidden) else 400
    )
    return JSONResponse({"error": str(error)}, status, headers=HEADERS)


async def _http(request: Any, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    says = {404: "there is nothing of this name", 405: "this cannot be asked in that way"}.get(
        status, "the request is at fault"
    )
    return JSONResponse({"error": says}, status, headers=HEADERS)


async def _fault(request: Any, error: Exception) -> Response:
    return JSONResponse({"error": "a fault of the server"}, 500, headers=HEADERS)


def describe(limits: Limits) -> dict[str, Any]:
    """The server by OpenAPI 3.1."""
    failure = {
        "description": "one sentence",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    failures = {str(code): failure for code in (400, 403, 405, 408, 413, 503)}

    def upload(about: str, most: int) -> dict[str, Any]:
        body = {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary", "maxLength": most}}
            },
        }
        done = {"description": about, "content": {"application/json": {"schema": {"type": "object"}}}}
        return {"post": {"summary": about, "requestBody": body, "responses": {"200": done, **failures}}}

    return {
        "openapi": "3.1.0",
        "info": {"title": "Phalanx", "version": __version__, "description": "Hands in pictures, clips and webcams."},
        "paths": {
            "/api/picture": upload("hands in a picture", limits.picture_bytes),
            "/api/clip": upload("hands in the frames of a video", limits.clip_bytes),
            "/api/folder": upload("hands in a folder as ZIP", limits.clip_bytes),
        },
        "components": {
            "schemas": {"Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}}
        },
    }
