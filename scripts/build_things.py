"""Freezes the things of synthesis: models with few triangles and small textures, some of them made here, others from a folder of free ones.

    python scripts/build_things.py FURNITURE [OUT]

FURNITURE is a Sweet Home 3D library whose licence is public domain (`BlendSwap-CC-0.sh3f`, in Debian's package `sweethome3d-furniture`),
or the folder that it unpacks to. Models of other licences are refused. Needs `fast_simplification` (quadric error metrics), which nothing
else here does.
"""

from __future__ import annotations

import io
import json
import re
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import fast_simplification
import numpy as np
import thing_kinds as kinds
import trimesh
from PIL import Image
from thing_shapes import BLACK, BLUE, CREAM, DARK, GREEN, RED, STEEL, WHITE, WOOD, YELLOW

from phalanx.render.solids import BOX, CAPSULE, CUP, CYLINDER, ELLIPSOID
from phalanx.synth.things.bake import LARGEST, Model, Part, clustered, joined, patches, plain, samples, solids_of
from phalanx.synth.things.models import ASSETS, freeze

_STEP = 5  # levels of 255 to which texels are rounded, which makes the file a fifth smaller
_FACES = 420  # triangles of a thing, unless told otherwise
_SOURCE = "BlendSwap-CC-0 library of Sweet Home 3D 1.8, CC0 (public domain)"

Hold = tuple[int, int, float, float] | None
"""Kind of the solid that hands take it by, axis, from and to which share of its length."""

# Name: parts, role, hold, share of light that is mirrored.
MADE: dict[str, tuple[list[Part], str, Hold, float]] = {
    "mug_white": (kinds.mug(WHITE), "held", (CUP, 2, 0.0, 1.0), 0.05),
    "mug_red": (kinds.mug(RED), "held", (CUP, 2, 0.0, 1.0), 0.05),
    "mug_blue": (kinds.mug(BLUE, CREAM), "held", (CUP, 2, 0.0, 1.0), 0.05),
    "wine_glass": (kinds.glass(), "held", (CUP, 2, 0.55, 1.0), 0.2),
    "tumbler": (kinds.tumbler((120, 170, 186)), "held", (CUP, 2, 0.0, 1.0), 0.12),
    "bottle_water": (kinds.bottle((170, 200, 214), BLUE, WHITE), "held", (CYLINDER, 2, 0.0, 0.67), 0.1),
    "bottle_cola": (kinds.bottle((54, 24, 18), RED, RED), "held", (CYLINDER, 2, 0.0, 0.67), 0.1),
    "bottle_wine": (kinds.wine((22, 44, 28)), "held", (CYLINDER, 2, 0.0, 0.63), 0.12),
    "tin_red": (kinds.tin(RED, WHITE), "held", (CYLINDER, 2, 0.0, 1.0), 0.15),
    "tin_green": (kinds.tin(GREEN, YELLOW), "held", (CYLINDER, 2, 0.0, 1.0), 0.15),
    "paper_cup": (kinds.paper_cup(), "held", (CYLINDER, 2, 0.0, 1.0), 0.02),
    "jar": (kinds.jar(), "held", (CYLINDER, 2, 0.0, 1.0), 0.1),
    "pen_blue": (kinds.pen(BLUE, BLACK), "held", (CAPSULE, 2, 0.18, 1.0), 0.05),
    "pen_silver": (kinds.pen(STEEL, BLACK, 0.0055), "held", (CAPSULE, 2, 0.18, 1.0), 0.3),
    "pencil": (kinds.pencil(YELLOW), "held", (CAPSULE, 2, 0.12, 1.0), 0.02),
    "brush": (kinds.brush(RED, WOOD), "held", (CAPSULE, 2, 0.1, 0.9), 0.03),
    "screwdriver_yellow": (kinds.screwdriver(YELLOW), "held", (CYLINDER, 2, 0.0, 0.48), 0.08),
    "screwdriver_red": (kinds.screwdriver(RED), "held", (CYLINDER, 2, 0.0, 0.48), 0.08),
    "hammer": (kinds.hammer(BLACK), "held", (CYLINDER, 2, 0.0, 0.7), 0.06),
    "hammer_wood": (kinds.hammer(WOOD), "held", (CYLINDER, 2, 0.0, 0.7), 0.04),
    "wrench": (kinds.wrench(), "held", (BOX, 2, 0.2, 0.78), 0.4),
    "pliers": (kinds.pliers(RED), "small", None, 0.2),
    "torch": (kinds.torch_lamp(), "held", (CYLINDER, 2, 0.0, 0.72), 0.1),
    "knife": (kinds.knife(), "held", (BOX, 2, 0.0, 0.44), 0.25),
    "spoon": (kinds.spoon(), "held", (BOX, 2, 0.0, 0.7), 0.45),
    "fork": (kinds.fork(), "held", (BOX, 2, 0.0, 0.65), 0.45),
    "toothbrush": (kinds.toothbrush(GREEN), "held", (BOX, 2, 0.0, 0.57), 0.03),
    "recorder": (kinds.recorder(), "held", (CYLINDER, 2, 0.13, 0.64), 0.03),
    "ukulele": (kinds.ukulele(), "held", (BOX, 1, 0.4, 0.8), 0.05),
    "phone_black": (kinds.phone(BLACK, 1), "held", (BOX, 2, 0.0, 1.0), 0.06),
    "phone_white": (kinds.phone(WHITE, 2), "held", (BOX, 2, 0.0, 1.0), 0.06),
    "phone_red": (kinds.phone(RED, 7, (0.068, 0.138, 0.0095)), "held", (BOX, 2, 0.0, 1.0), 0.06),
    "tablet": (kinds.phone(STEEL, 4, (0.135, 0.2, 0.0075)), "held", (BOX, 2, 0.0, 1.0), 0.06),
    "remote": (kinds.keyed((0.048, 0.17, 0.02), 9, 3, DARK, STEEL), "held", (BOX, 2, 0.0, 1.0), 0.03),
    "calculator": (kinds.keyed((0.08, 0.14, 0.014), 6, 4, (90, 90, 96), CREAM), "held", (BOX, 2, 0.0, 1.0), 0.03),
    "keyboard": (kinds.keyed((0.44, 0.14, 0.022), 6, 18, DARK, (64, 64, 68)), "small", None, 0.02),
    "keyboard_white": (kinds.keyed((0.42, 0.12, 0.014), 6, 18, STEEL, WHITE), "small", None, 0.02),
    "mouse": (kinds.mouse(), "small", None, 0.04),
    "laptop": (kinds.laptop(), "small", None, 0.04),
    "monitor": (kinds.monitor(), "small", None, 0.03),
    "book_red": (kinds.book(RED, 11, (0.13, 0.2, 0.025)), "held", (BOX, 2, 0.0, 1.0), 0.03),
    "book_blue": (kinds.book(BLUE, 12, (0.11, 0.18, 0.018)), "held", (BOX, 2, 0.0, 1.0), 0.02),
    "book_green": (kinds.book(GREEN, 13, (0.15, 0.21, 0.032)), "held", (BOX, 2, 0.0, 1.0), 0.02),
    "ball_tennis": (kinds.ball(0.033, (206, 226, 58), WHITE), "held", (ELLIPSOID, 2, 0.0, 1.0), 0.0),
    "ball_red": (kinds.ball(0.036, RED, BLUE), "held", (ELLIPSOID, 2, 0.0, 1.0), 0.05),
    "egg": (kinds.ball(0.0215, (228, 196, 160), None, 1.28), "held", (ELLIPSOID, 2, 0.0, 1.0), 0.02),
    "orange": (kinds.ball(0.038, (232, 128, 24)), "held", (ELLIPSOID, 2, 0.0, 1.0), 0.03),
    "apple_red": (kinds.apple((176, 30, 36)), "held", (ELLIPSOID, 2, 0.0, 0.87), 0.05),
    "apple_green": (kinds.apple((132, 172, 48)), "held", (ELLIPSOID, 2, 0.0, 0.87), 0.05),
    "plate": (kinds.plate(WHITE, WHITE), "small", None, 0.06),
    "plate_blue": (kinds.plate(WHITE, BLUE), "small", None, 0.06),
    "die": (kinds.die(0.022, WHITE, BLACK), "held", (BOX, 2, 0.0, 1.0), 0.04),
    "toy_block": (kinds.die(0.04, RED, YELLOW), "held", (BOX, 2, 0.0, 1.0), 0.03),
    "card_blue": (kinds.card(BLUE, 21), "held", (BOX, 2, 0.0, 1.0), 0.04),
    "card_dark": (kinds.card(DARK, 22), "held", (BOX, 2, 0.0, 1.0), 0.04),
    "coin": (kinds.coin((190, 160, 84)), "held", (CYLINDER, 2, 0.0, 1.0), 0.4),
    "carton": (kinds.carton((0.066, 0.052, 0.16), (206, 214, 190), 31), "held", (BOX, 2, 0.0, 1.0), 0.02),
    "cereal": (kinds.carton((0.19, 0.06, 0.29), YELLOW, 32), "small", None, 0.02),
    "matchbox": (kinds.carton((0.052, 0.034, 0.014), (70, 110, 170), 33), "held", (BOX, 2, 0.0, 1.0), 0.0),
    "bag": (kinds.bag((150, 112, 70)), "held", (CAPSULE, 0, 0.22, 0.78), 0.02),
    "bag_black": (kinds.bag(DARK), "held", (CAPSULE, 0, 0.22, 0.78), 0.04),
    "racket": (kinds.racket(), "held", (CYLINDER, 2, 0.0, 0.3), 0.05),
    "desk_lamp": (kinds.desk_lamp(DARK), "small", None, 0.06),
    "desk_lamp_red": (kinds.desk_lamp(RED), "small", None, 0.06),
    "bucket": (kinds.bucket(BLUE), "held", (CAPSULE, 0, 0.27, 0.73), 0.05),
}
_BY_LAST_PART = {"bag", "bag_black", "bucket"}  # held by the part named last

# Models of the library: role, hold, triangles.
TAKEN: dict[str, tuple[str, Hold, int]] = {
    **dict.fromkeys(
        (
            "butter caffe_final cartoon_biplane cissors_swap deer housePuzzle speaker2 "
            "teddyBear umbrellaFolded kalender slippers bread chicken coffeeBrewer handbag "
            "briefcase bootie JapaneseLantern lamp2 toiletBrush rock1 "
            "rock3 stoneLantern led_tv outdoorLamp basketball lockedLocker comb hotDog woodToy"
        ).split(),
        ("small", None, _FACES),
    ),
    **dict.fromkeys("cactus orchids littlePlant augalas flowerBox plantie".split(), ("plant", None, 760)),
    **dict.fromkeys(
        (
            "armchair bedsideTable2 bookcase oakTable plasticChair shelves stool verticalShelves "
            "whiteBoard cupboard desk armchair2 barrel crate chair modernArmchair "
            "chairWithCushion chair2 foldingChair osakaChair designChair drawersCabinet stool2 thonet refrigerator "
            "pianoBench sofa2 couch pianoAQueue wheelbarrow lbDesk tableWithTablecloth "
            "glassDoorCabinet"
        ).split(),
        ("furniture", None, _FACES),
    ),
    "cosmeticsPot": ("held", (CYLINDER, 2, 0.0, 1.0), _FACES),
    "mamadeira": ("held", (CYLINDER, 2, 0.0, 0.6), _FACES),
    "plasticCup": ("held", (CUP, 2, 0.0, 1.0), _FACES),
    "beerGlass": ("held", (CUP, 2, 0.0, 1.0), _FACES),
    "tetrapak": ("held", (BOX, 2, 0.0, 0.72), _FACES),
    "textMarker": ("held", (CYLINDER, 1, 0.0, 1.0), 300),
    "yogurtBottle": ("held", (CYLINDER, 2, 0.0, 0.7), _FACES),
    "flacon": ("held", (CYLINDER, 2, 0.0, 0.8), _FACES),
    "iphone": ("held", (BOX, 2, 0.0, 1.0), _FACES),
    "cupcake": ("held", (CYLINDER, 2, 0.0, 0.6), _FACES),
}


def catalogue(folder: Path) -> dict[str, dict[str, str]]:
    """Entries of a furniture library's catalogue by the names of their models."""
    text = (folder / "PluginFurnitureCatalog.properties").read_text(encoding="latin1")
    licence = re.search(r"^license=(.*)$", text, re.M)
    if licence is None or licence[1].strip() != "Public domain":
        raise SystemExit(f"{folder}: its licence is {licence[1] if licence else 'not given'}, not public domain")
    entries: dict[str, dict[str, str]] = {}
    for key, number, value in re.findall(r"^(\w+)#(\d+)=(.*)$", text, re.M):
        entries.setdefault(number, {})[key] = value.strip()
    return {Path(entry["model"]).stem: entry for entry in entries.values()}


def _image(material: Any) -> np.ndarray:
    """A material's texture; one texel where it has none."""
    picture = getattr(material, "image", None)
    if picture is None:
        return np.asarray(material.main_color)[None, None, :3].astype(np.uint8)
    return np.asarray(picture.convert("RGB"))


def read_parts(path: Path, entry: dict[str, str]) -> tuple[list[Part], float]:
    """The pieces of an OBJ of the library, z up, in metres, and how much light it mirrors."""
    scene = trimesh.load(path, force="scene", process=False)
    parts, gloss, area = [], 0.0, 0.0
    turn = np.fromstring(entry.get("modelRotation", "1 0 0 0 1 0 0 0 1"), sep=" ").reshape(3, 3)
    up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ turn
    for mesh in scene.dump():
        vertices, faces = np.asarray(mesh.vertices) @ up.T, np.asarray(mesh.faces)
        material = getattr(mesh.visual, "material", None)
        image = np.full((1, 1, 3), 150, np.uint8) if material is None else _image(material)
        uv = getattr(mesh.visual, "uv", None)
        if uv is None or len(uv) != len(vertices):
            parts.append(plain(vertices, faces, image.reshape(-1, 3).mean(0)))
        else:
            parts.append(Part(vertices, faces, np.asarray(uv)[faces], image))
        specular = getattr(material, "specular", None)
        gloss += mesh.area * (0.0 if specular is None else float(np.asarray(specular)[:3].mean()) / 255.0)
        area += mesh.area
    whole = np.concatenate([part.vertices for part in parts])
    low, high = whole.min(0), whole.max(0)
    size = np.array([float(entry[name]) for name in ("width", "depth", "height")]) / 100.0
    scale = size / np.maximum(high - low, 1e-9)
    foot = np.array([*(0.5 * (low + high))[:2], low[2]])
    for part in parts:
        part.vertices = (part.vertices - foot) * scale
    return parts, 0.12 * gloss / max(area, 1e-9)


def simplified(parts: list[Part], most: int) -> tuple[np.ndarray, np.ndarray]:
    """One mesh of all parts with at most about `most` triangles."""
    vertices, faces = joined(parts)
    merged = trimesh.Trimesh(vertices, faces, process=False)
    merged.merge_vertices(merge_tex=True, merge_norm=True)
    merged.update_faces(merged.nondegenerate_faces())
    points, triangles = np.asarray(merged.vertices), np.asarray(merged.faces)
    if len(triangles) > most:
        points, triangles = fast_simplification.simplify(
            points.astype(np.float32), triangles.astype(np.int32), target_count=most, agg=5
        )
    if len(triangles) > LARGEST:  # many loose pieces, none of which vanishes
        points, triangles = clustered(points, triangles)
    used, index = np.unique(triangles, return_inverse=True)
    kept = (
        points[used].astype(float).clip(vertices.min(0), vertices.max(0))
    )  # of thin wires, simplified, points fly off
    return kept, index.reshape(-1, 3)


def model(parts: list[Part], role: str, hold: Hold, mirrored: float, most: int, last: bool = False) -> Model:
    """One thing, of its parts."""
    whole = np.concatenate([part.vertices for part in parts])
    foot = np.array([*(0.5 * (whole.min(0) + whole.max(0)))[:2], whole[:, 2].min()])
    parts = [Part(part.vertices - foot, part.faces, part.uv, part.image) for part in parts]
    vertices, faces = simplified(parts, most)
    solids = (np.zeros(0), np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros((0, 3)))
    if hold is not None:
        points = samples([plain(vertices, faces, WHITE)], 20_000)[0]
        own = samples(parts[-1:], 20_000)[0] if last else None
        solids = solids_of(points, *hold, own=own)
    return Model(vertices, faces, patches(vertices, faces, parts), *solids, role, mirrored)


def main(source: Path, out: Path) -> None:
    """Build all things and write them to `out`."""
    with tempfile.TemporaryDirectory() as folder:
        if source.is_file():
            with zipfile.ZipFile(source) as archive:
                archive.extractall(folder)
            source = Path(folder)
        models = {name: model(*made, 800, name in _BY_LAST_PART) for name, made in MADE.items()}
        origin = {name: {"made": "scripts/build_things.py"} for name in models}
        entries = catalogue(source)
        for name, (role, hold, most) in TAKEN.items():
            entry = entries[name]
            path = next(source.rglob(f"{name}.obj"))
            parts, mirrored = read_parts(path, entry)
            models[name] = model(parts, role, hold, mirrored, most)
            origin[name] = {"author": entry.get("creator", "not named"), "source": _SOURCE}
            print(name, len(models[name].faces), flush=True)
    arrays = freeze(models)
    encoded = io.BytesIO()
    atlas = arrays.pop("atlas")
    coarse = ((atlas.astype(int) + 2) // _STEP * _STEP).clip(0, 255).astype(np.uint8)
    Image.fromarray(coarse).save(encoded, "WEBP", lossless=True, method=3, quality=60)
    arrays["atlas_file"] = np.frombuffer(encoded.getvalue(), np.uint8)
    np.savez_compressed(out / "things.npz", **arrays)
    (out / "things.json").write_text(json.dumps(origin, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    size = (out / "things.npz").stat().st_size
    print(
        f"{len(models)} things, {int(arrays['face_count'].sum())} triangles, atlas {atlas.shape}, {len(encoded.getvalue())} of {size} bytes"
    )


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else ASSETS)
