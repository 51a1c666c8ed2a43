"""Folders that come as ZIP files: pictures, pictures with depth, depth frames, or the views of a rig."""

from __future__ import annotations

import base64
import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from phalanx.core.errors import InputError
from phalanx.core.extras import missing_extra
from phalanx.data.depth_cameras import INTRINSICS, depth_frames, read_intrinsics
from phalanx.data.images import OVERLAY
from phalanx.data.rig_files import read_rig
from phalanx.predict.files import predict_files
from phalanx.predict.paired_depth import open_paired_folder
from phalanx.predict.predictor import Predictor
from phalanx.predict.rig_files import predict_rig
from phalanx.serve.limits import MEGABYTE, Limits, TooLarge

SHOWN = 12
"""Overlays that an answer holds."""


def folder_answer(predictor: Predictor, path: Path, limits: Limits) -> dict[str, Any]:
    """What is predicted of a folder in a ZIP file: `rig.json` with a folder or video for each camera; pictures, and `depth/` beside them;
    or depth frames alone, with `intrinsics.json`.

    Returns the lines for people (`said`), what was passed over and why, some overlays, and all files as a ZIP.

    Raises:
        InputError: the archive is none, damaged, too large, or reaches out of its folder; or nothing in it can be predicted.
    """
    folder, out = path.parent / "folder", path.parent / "out"
    unpack(path, folder, limits)
    inside = [each for each in folder.iterdir() if each.name != "__MACOSX"]
    root = inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
    said: list[str] = []

    def plain(sentence: str) -> str:
        for name in (out, root, folder):
            sentence = sentence.replace(f"{name}/", "").replace(str(name), "the folder")
        return sentence

    try:
        summary = _predicted(predictor, root, out, lambda line: said.append(plain(line)))
    except InputError as error:
        raise type(error)(plain(str(error))) from error
    except ModuleNotFoundError as error:
        sentence = missing_extra(error)
        if sentence is None:
            raise
        raise InputError(f"on the server, {sentence}") from error
    overlays = sorted(out.rglob(f"*{OVERLAY}.png"))[:SHOWN]
    return {
        "said": said,
        "skipped": [plain(entry["problem"]) for entry in summary.skipped],
        "overlays": {each.name: base64.b64encode(each.read_bytes()).decode("ascii") for each in overlays},
        "results": base64.b64encode(_packed(out, plain)).decode("ascii"),
    }


def _predicted(predictor: Predictor, root: Path, out: Path, say: Callable[[str], None]) -> Any:
    def ignore(sentence: str) -> None:
        """It is in the summary."""

    if (root / "rig.json").is_file():
        rig = read_rig(root / "rig.json")
        there = {
            each.stem if each.is_file() else each.name: each
            for each in sorted(root.iterdir())
            if each.name != "rig.json"
        }
        views = [there.get(camera.name) for camera in rig.cameras]
        if any(view is None for view in views):
            missing = next(camera.name for camera, view in zip(rig.cameras, views, strict=True) if view is None)
            raise InputError(f"rig.json: its camera {missing!r} has no folder, video or picture of that name beside it")
        return predict_rig(
            rig, [view for view in views if view is not None], out, predictor=predictor, say=say, complain=ignore
        )
    known = any((root / name).is_file() for name in INTRINSICS)
    if (root / "depth").is_dir():
        depth = open_paired_folder(root if known else root / "depth")
        return predict_files([root], out, predictor=predictor, say=say, complain=ignore, depth=depth)
    if known and depth_frames(root):
        from phalanx.predict.depth import DepthPredictor
        from phalanx.predict.depth_files import predict_depth_files

        found = read_intrinsics(root)
        assert found is not None
        _, K, unit = found
        camera = ",".join(str(value) for value in (K[0, 0], K[1, 1], K[0, 2], K[1, 2]))
        return predict_depth_files(depth_frames(root), out, DepthPredictor(), camera, unit, say=say, complain=ignore)
    return predict_files([root], out, predictor=predictor, say=say, complain=ignore)


def unpack(path: Path, folder: Path, limits: Limits) -> None:
    """Unpack a ZIP file into a new folder.

    Raises:
        InputError: it is no ZIP file, damaged or locked, or has a name that leads out of the folder, or a link.
        TooLarge: it has more files or bytes than the limits, whatever its head says.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError("the file is no ZIP archive, or is damaged") from error
    left = limits.folder_bytes
    with archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(entries) > limits.folder_files:
            raise TooLarge(f"the archive has more than {limits.folder_files} files")
        for entry in entries:
            target = folder / _safe(entry)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with archive.open(entry) as packed, target.open("xb") as file:
                    while chunk := packed.read(1 << 16):
                        left -= len(chunk)
                        if left < 0:
                            raise TooLarge(f"the archive holds more than {limits.folder_bytes // MEGABYTE} MB")
                        file.write(chunk)
            except InputError:
                raise
            except FileExistsError as error:
                raise InputError("the archive has two files of one name") from error
            except Exception as error:  # damaged archives raise anything, from BadZipFile to zlib.error
                raise InputError("the archive is damaged, or needs a password") from error
    if not folder.is_dir():
        raise InputError("the archive is empty")


def _safe(entry: zipfile.ZipInfo) -> PurePosixPath:
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    parts = name.parts
    climbs = name.is_absolute() or not parts or any(part in ("..", "") or ":" in part or "\0" in part for part in parts)
    if (
        climbs
        or stat.S_ISLNK(entry.external_attr >> 16)
        or any(len(part.encode()) > 200 for part in parts)
        or len(parts) > 8
    ):
        raise InputError("the archive has a name that leads out of it, or a link")
    return name


def _packed(out: Path, plain: Callable[[str], str]) -> bytes:
    """All files of a folder as a ZIP, without the names of temporary ones."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in sorted(each for each in out.rglob("*") if each.is_file()):
            data = each.read_bytes()
            if each.suffix == ".json":
                data = plain(data.decode("utf-8")).encode("utf-8")
            archive.writestr(each.relative_to(out).as_posix(), data)
    return content.getvalue()
