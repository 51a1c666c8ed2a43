"""2D joints of hands in pictures, from the files that annotation tools write: COCO keypoints, CVAT, Label Studio.

- COCO (JSON of `images`, `annotations`, `categories`): `keypoints` of x, y, v for 21 points, or for the 42 of both hands where the category
  names them; and `lefthand_kpts`, `righthand_kpts` as COCO-WholeBody has them. Pixels, (0, 0) is the centre of the first one. An annotation
  may also have 3D joints (`joints_3d`, `joint_cam`, `keypoints_3d` or `xyz`), (21, 3) in the camera's frame.
- CVAT ("CVAT for images 1.1", XML): skeletons whose points have joints' names or numbers, single points of such names (those of a hand in
  one group), or 21 points in one shape. Pixels count from the picture's edge.
- Label Studio (JSON and JSON-MIN): keypoint labels of joints' names, in per cent of the picture; points of several hands are told apart by
  their parent region.

Where joints have no names, points are in the order that the caller states; `data.joint_names` says what names and orders there are. Every
complaint names file and line.
"""

from __future__ import annotations

import math
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import read_head
from phalanx.data.images import PICTURE_SUFFIXES
from phalanx.data.joint_names import SURELY, check_order, joint_of, likeliest_order, numbered_places, reordered, side_in
from phalanx.data.json_lists import read_with_lines
from phalanx.data.labels import UNITS
from phalanx.hand.prediction import SIDES, Side
from phalanx.hand.skeleton import ORDERS

JOINTS = 21
LABEL_SUFFIXES = (".json", ".xml")
_IN_3D = ("joints_3d", "joint_cam", "keypoints_3d", "xyz")
_SMALLEST = 6.0  # pixels that a labelled hand spans at least
_PALM_LENGTHS = (0.03, 0.2)  # metres from the wrist to the middle finger's knuckle, and across the knuckles
_LINE = re.compile(r"^.*?: line \d+")  # of a hand's `where`
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # what Label Studio puts before the names of uploaded files


@dataclass(frozen=True, eq=False)
class LabelledHand:
    """What a label file says of one hand.

    Attributes:
        where: file and line, the beginning of complaints.
        picture: its file, as the label file names it.
        points: (21, 2) pixels of the picture, (0, 0) the centre of its first one; NaN where a joint is not labelled.
        size: width and height that the picture had, where the file says so.
        side: of the hand, where the file says so.
        joints: (21, 3) metres along the camera's axes, from any origin, NaN where not known; None: the file has none.
    """

    where: str
    picture: str
    points: np.ndarray
    size: tuple[int, int] | None = None
    side: Side | None = None
    joints: np.ndarray | None = None


@dataclass(frozen=True)
class JointLabels:
    """The hands in a label file, and a sentence for each annotation that is at fault and left out."""

    hands: list[LabelledHand]
    faults: list[str]


@dataclass
class _Raw:
    """One annotation as its file has it: places (N, 2) in our pixels, NaN where not set, and names, or None where they have none."""

    where: str
    picture: str
    places: np.ndarray
    names: list[str] | None
    size: tuple[int, int] | None = None
    side: Side | None = None
    joints: np.ndarray | None = None


@dataclass
class _Found:
    """Annotations of a file, and sentences about those that could not be read."""

    raws: list[_Raw] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read_joint_labels(path: Path, order: str | None = None) -> JointLabels:
    """The labelled hands of a file.

    Args:
        path: of the file; the module's head says which kinds there are.
        order: a name in `hand.skeleton.ORDERS` that its points are in, whatever it names them. None: joints are known by their names, and
            points without names are in our order.

    Raises:
        InputError: the file is missing, damaged or of another kind, there is no such order, or its joints are clearly in another one,
            which the sentence names.
    """
    check_order(order)
    found = _read_cvat(path) if path.suffix.lower() == ".xml" else _read_json(path)
    hands: list[LabelledHand] = []
    places = _numbers_of_names(found.raws)
    for raw in found.raws:
        try:
            hands += [hand for hand in _hands_of(raw, order, places) if np.isfinite(hand.points).any()]
        except InputError as error:
            found.faults.append(f"{raw.where}: {error}")
    _check_order_of_all(path, hands, order)
    return JointLabels(hands, found.faults)


def file_names(picture: str) -> list[str]:
    """Names of files that a label file may mean by `picture`: a path, a URL, or the name that Label Studio gave an upload."""
    try:
        parsed = urllib.parse.urlparse(picture)
    except ValueError:  # brackets that are of no address
        parsed = urllib.parse.urlparse("")
    query = urllib.parse.parse_qs(parsed.query).get("d")  # of Label Studio's local files
    text = query[0] if query else urllib.parse.unquote(parsed.path) if parsed.scheme in ("http", "https") else picture
    path = text.replace("\\", "/").lstrip("/")
    parent, _, name = path.rpartition("/")
    plain = _UPLOADED.sub("", name)
    return [path] if plain == name else [path, f"{parent}/{plain}".lstrip("/")]


def _numbers_of_names(raws: Sequence[_Raw]) -> dict[str, int]:
    """Places of points that are named by numbers, which are 0 to 20 or 1 to 21 in the whole file."""
    names = sorted({name for raw in raws for name in raw.names or [] if name.isdecimal()})
    numbers = numbered_places(names)
    return dict(zip(names, numbers, strict=True)) if numbers is not None else {}


def _hands_of(raw: _Raw, order: str | None, places: Mapping[str, int]) -> Iterator[LabelledHand]:
    """The hands, one or two, of an annotation. Raises InputError for one at fault; the sentence needs `raw.where` before it."""
    if raw.names is not None and order is None and not all(name in places for name in raw.names):
        parts = _by_name(raw.names)
    else:
        parts = {None: _by_place(raw, order, places)}
    for side, numbers in parts.items():
        points = _picked(raw.places, numbers)
        joints = None if raw.joints is None else _in_metres(_picked(raw.joints, numbers))
        if np.isfinite(points).any():
            _check_points(points, raw.size)
        yield LabelledHand(raw.where, raw.picture, points, raw.size, side or raw.side, joints)


def _by_name(names: Sequence[str]) -> dict[Side | None, np.ndarray]:
    """For each hand, (21,) the place of each joint among the points; -1 where there is none."""
    parts: dict[Side | None, np.ndarray] = {}
    for place, name in enumerate(names):
        joint, side = joint_of(name)
        numbers = parts.setdefault(side, np.full(JOINTS, -1))
        if joint < 0:
            continue
        if numbers[joint] >= 0:
            raise InputError(f"has two points {name!r}; put the points of each hand into a group of their own")
        numbers[joint] = place
    return parts


def _by_place(raw: _Raw, order: str | None, places: Mapping[str, int]) -> np.ndarray:
    """(21,) the place of each joint among points that have none but numbers for names; -1 where there is none."""
    count = len(raw.places)
    if raw.names is not None and all(name in places for name in raw.names):
        theirs = np.full(JOINTS, -1)
        theirs[[places[name] for name in raw.names]] = np.arange(count)
    elif count == JOINTS:
        theirs = np.arange(JOINTS)
    else:
        raise InputError(f"has {count} points, and a hand has {JOINTS}")
    ours = reordered(theirs[:, None], order or "phalanx")[:, 0]
    return np.where(np.isfinite(ours), ours, -1).astype(int)


def _picked(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Rows of `values (N, D)` by number (21,); NaN where the number is -1."""
    return np.where(numbers[:, None] >= 0, values[numbers], np.nan)


def _check_points(points: np.ndarray, size: tuple[int, int] | None) -> None:
    known = points[np.isfinite(points).all(-1)]
    extent = float(np.ptp(known, axis=0).max())
    if len(known) > 3 and extent < _SMALLEST:
        raise InputError(f"the hand is {extent:.2g} pixels large; are its points in pixels?")
    if size is not None:
        outside = (known < -0.5 * np.array(size)) | (known > 1.5 * np.array(size))
        if outside.any():
            x, y = known[outside.any(1)][0]
            raise InputError(f"the point {x:.0f},{y:.0f} is far outside the picture of {size[0]}x{size[1]} pixels")


def _in_metres(joints: np.ndarray) -> np.ndarray:
    """3D joints in metres, whichever of `UNITS` they are in: a hand's palm fits one only."""
    ends, said = (
        ((0, 9), "wrist to middle knuckle") if np.isfinite(joints[0]).all() else ((5, 17), "index to little knuckle")
    )
    length = float(np.linalg.norm(joints[ends[1]] - joints[ends[0]]))
    low, high = _PALM_LENGTHS
    unit = next((unit for unit in UNITS.values() if low <= length * unit <= high), None)
    if unit is None:
        raise InputError(f"3D joints are in no known unit: from {said} are {length:.3g}")
    return joints * unit


def _check_order_of_all(path: Path, hands: Sequence[LabelledHand], order: str | None) -> None:
    """Raise InputError if bones say that the joints of a file are in another order than was taken."""
    taken = order or "phalanx"
    if not hands:
        return
    points = np.stack([hand.points for hand in hands])
    # As the file has them in the order that was taken, so that the likelier order's name is the one to give.
    theirs = np.full_like(points, np.nan)
    theirs[:, list(ORDERS[taken])] = points
    likely = likeliest_order(theirs, taken) if order is None else likeliest_order(theirs, taken, SURELY)
    if likely != taken:
        raise InputError(
            f"{_LINE.findall(hands[0].where)[0]}: joints seem to be in the order {likely}, not in {taken}, by the lengths of bones from "
            f"here on; give --order {likely} if that is so"
        )


def _read_json(path: Path) -> _Found:
    data: Any
    data, lines = read_with_lines(path)
    if isinstance(data, Mapping) and isinstance(data.get("annotations"), list) and isinstance(data.get("images"), list):
        return _read_coco(path, data, lines)
    tasks = isinstance(data, list) and data and all(isinstance(task, Mapping) for task in data)
    if tasks and any("annotations" in task or _minimal(task) for task in data):
        return _read_label_studio(path, data, lines[""])
    raise InputError(
        f"{path}: is neither COCO keypoints (images and annotations) nor an export of Label Studio; CVAT's labels are XML"
    )


def _read_coco(path: Path, data: Mapping[str, Any], lines: Mapping[str, list[int]]) -> _Found:
    found = _Found()
    images: dict[Any, Mapping[str, Any]] = {}
    for line, image in zip(lines["images"], data["images"], strict=True):
        if isinstance(image, Mapping) and isinstance(image.get("file_name"), str) and _is_id(image.get("id")):
            images[image["id"]] = image
        else:
            found.faults.append(f"{path}: line {line}: an image needs an id and a file_name")
    kinds = data.get("categories") or []
    categories = {
        kind["id"]: kind for kind in kinds if isinstance(kind, Mapping) and _is_id(kind.get("id"))
    }  # a file may have none
    for number, (line, entry) in enumerate(zip(lines["annotations"], data["annotations"], strict=True)):
        where = f"{path}: line {line}, annotation {number}"
        try:
            if not isinstance(entry, Mapping):
                raise InputError("is not an object")
            image = images.get(entry["image_id"]) if _is_id(entry.get("image_id")) else None
            if image is None:
                raise InputError(f"belongs to the image {entry.get('image_id')!r}, which the file does not list")
            found.raws += _coco_hands(where, entry, image, categories)
        except InputError as error:
            found.faults.append(f"{where}: {error}")
    return found


def _coco_hands(
    where: str, entry: Mapping[str, Any], image: Mapping[str, Any], categories: Mapping[Any, Mapping[str, Any]]
) -> Iterator[_Raw]:
    size = _size(image.get("width"), image.get("height"))
    whole_body: list[tuple[Side, Any]] = [(side, entry.get(f"{side}hand_kpts")) for side in SIDES]
    if any(points for _, points in whole_body):
        for side, points in whole_body:
            if points and entry.get(f"{side}hand_valid", True):
                yield _Raw(where, image["file_name"], _coco_points(points), None, size, side)
        return
    if not entry.get("keypoints"):
        return
    places = _coco_points(entry["keypoints"])
    category = categories.get(entry.get("category_id")) if _is_id(entry.get("category_id")) else None
    names = None if category is None else category.get("keypoints")
    if names is not None and not (isinstance(names, list) and len(names) == len(places)):
        raise InputError(f"has {len(places)} keypoints, and its category names {len(names) if names else 0}")
    said = side_in(entry.get("hand_type")) or side_in((category or {}).get("name"))
    joints = next((entry[name] for name in _IN_3D if entry.get(name)), None)
    yield _Raw(
        where,
        image["file_name"],
        places,
        None if names is None else [str(name) for name in names],
        size,
        said,
        None if joints is None else _numbers(joints, len(places), 3, "3D joints"),
    )


def _coco_points(values: object) -> np.ndarray:
    """Places (N, 2) of x, y, v in a row or one by one; NaN where v is 0."""
    count = len(values) if isinstance(values, list) else 0
    nested = bool(count) and isinstance(values, list) and isinstance(values[0], list)
    points = _numbers(values, count if nested else count // 3, 3, "keypoints")
    return np.where(points[:, 2:] > 0, points[:, :2], np.nan)


def _numbers(values: object, count: int, each: int, what: str) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64).reshape(count, each)
    except (TypeError, ValueError):
        array = np.full((1, 1), np.nan)
    if not np.isfinite(array).all():
        raise InputError(f"{what} must be {each} finite numbers for each of the points")
    return array


def _is_id(value: object) -> bool:
    return isinstance(value, int | str)


def _size(width: object, height: object) -> tuple[int, int] | None:
    try:
        sides = int(float(width)), int(float(height))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return sides if min(sides) > 0 else None


def _minimal(task: Mapping[str, Any]) -> bool:
    """Whether a task is one of JSON-MIN: keypoints beside the picture."""
    return any(_is_region(region) for value in task.values() if isinstance(value, list) for region in value)


def _is_region(region: object) -> bool:
    return isinstance(region, Mapping) and "keypointlabels" in region


def _read_label_studio(path: Path, tasks: Sequence[Mapping[str, Any]], lines: Sequence[int]) -> _Found:
    found = _Found()
    for number, (line, task) in enumerate(zip(lines, tasks, strict=True)):
        where = f"{path}: line {line}, task {number}"
        try:
            inside = task.get("data")
            data = inside if isinstance(inside, Mapping) else task
            pictures = [value for value in data.values() if isinstance(value, str) and _is_picture(value)]
            results = _results(task)
            if not results:
                continue
            if not pictures:
                raise InputError("names no picture")
            found.raws += _label_studio_hands(where, pictures[0], results)
        except InputError as error:
            found.faults.append(f"{where}: {error}")
    return found


def _is_picture(value: str) -> bool:
    """Whether a text of a task is the picture's file or address, and no remark or date."""
    return any(Path(name).suffix.lower() in PICTURE_SUFFIXES for name in file_names(value))


def _results(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The regions of a task's last annotation that was not cancelled, in the form of a full export."""
    if isinstance(task.get("annotations"), list):
        kept = [each for each in task["annotations"] if isinstance(each, Mapping) and not each.get("was_cancelled")]
        results = kept[-1].get("result") if kept else None
        return [each for each in results if isinstance(each, Mapping)] if isinstance(results, list) else []
    regions = [region for value in task.values() if isinstance(value, list) for region in value]
    return [{"type": "keypointlabels", "value": region, **region} for region in regions if _is_region(region)]


def _label_studio_hands(where: str, picture: str, results: Sequence[Mapping[str, Any]]) -> Iterator[_Raw]:
    sides = {str(each.get("id")): side_in(_label(each)) for each in results if each.get("type") != "keypointlabels"}
    chosen = {side for side in sides.values() if side}
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for each in results:
        if each.get("type") == "keypointlabels":
            groups.setdefault(str(each.get("parentID") or ""), []).append(each)
    for parent, group in groups.items():
        size = _size(group[0].get("original_width"), group[0].get("original_height"))
        if size is None:
            raise InputError("does not say how large the picture is (original_width, original_height)")
        values = [each["value"] if isinstance(each.get("value"), Mapping) else {} for each in group]
        shares = _numbers([[value.get("x"), value.get("y")] for value in values], len(group), 2, "keypoints")
        side = sides.get(parent) or (next(iter(chosen)) if len(chosen) == 1 and len(groups) == 1 else None)
        names = [_label(each) for each in group]
        yield _Raw(where, picture, shares / 100 * size - 0.5, names, size, side)


def _label(result: Mapping[str, Any]) -> str:
    """The first label or choice of a region."""
    value = result.get("value")
    lists = value.values() if isinstance(value, Mapping) else []
    return next((str(each[0]) for each in lists if isinstance(each, list) and each and isinstance(each[0], str)), "")


def _read_cvat(path: Path) -> _Found:
    read_head(path, 1)
    reader = _CvatReader(path)
    try:
        reader.parse(path.read_bytes())
    except expat.ExpatError as error:
        raise InputError(f"{path}: line {error.lineno}: is cut short or not XML") from error
    return reader.found


class _CvatReader:
    """Takes in "CVAT for images 1.1" tag by tag, so that it knows the lines."""

    def __init__(self, path: Path) -> None:
        self.found = _Found()
        self._path, self._parser = path, expat.ParserCreate()
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._begin, self._end
        self._parser.CharacterDataHandler = self._read
        self._parser.EntityDeclHandler = self._refuse
        self._tags: list[str] = []
        self._image: dict[str, str] = {}
        self._single: dict[str, _Raw] = {}  # points that are shapes of their own, by group
        self._open: _Raw | None = None  # the shape that attributes belong to

    def parse(self, content: bytes) -> None:
        self._parser.Parse(content, True)

    @property
    def _where(self) -> str:
        return f"{self._path}: line {self._parser.CurrentLineNumber}"

    def _refuse(self, *_: object) -> None:
        raise InputError(f"{self._where}: declares entities, which labels do not need")

    def _begin(self, tag: str, values: dict[str, str]) -> None:
        if not self._tags and tag != "annotations":
            raise InputError(f"{self._where}: is not an export of CVAT; its outermost tag is {tag}")
        if tag == "track":
            raise InputError(f"{self._where}: is of CVAT for video; export it as CVAT for images 1.1")
        self._tags.append(tag)
        if tag == "image":
            self._image, self._single = values, {}
        elif tag == "skeleton" and self._image:
            self._open = self._raw(values.get("label", ""), [])
        elif tag == "points" and self._image:
            self._points(values)

    def _end(self, tag: str) -> None:
        self._tags.pop()
        if tag == "image":
            self.found.raws += self._single.values()
            self._image = {}
        elif tag == "skeleton" or (tag == "points" and "skeleton" not in self._tags):
            if self._open is not None and len(self._open.places) and self._open not in self._single.values():
                self.found.raws.append(self._open)
            self._open = None

    def _read(self, text: str) -> None:
        if self._tags and self._tags[-1] == "attribute" and self._open is not None:
            self._open.side = side_in(text) or self._open.side

    def _raw(self, label: str, names: list[str] | None) -> _Raw:
        size = _size(self._image.get("width"), self._image.get("height"))
        where = f"{self._where}, picture {self._image.get('name', '')}"
        return _Raw(where, self._image.get("name", ""), np.zeros((0, 2)), names, size, side_in(label))

    def _points(self, values: dict[str, str]) -> None:
        label = values.get("label", "")
        try:
            pairs = [[float(number) for number in pair.split(",")] for pair in values.get("points", "").split(";")]
            places = _numbers(pairs, len(pairs), 2, "points") - 0.5
        except (ValueError, InputError):
            self.found.faults.append(f"{self._where}: points of {label!r} must be pairs of numbers, x,y;x,y")
            return
        if values.get("outside") == "1":
            places = np.full_like(places, math.nan)
        if "skeleton" in self._tags[:-1]:
            if self._open is not None and self._open.names is not None:
                self._open.names.append(label)
                self._open.places = np.concatenate([self._open.places, places[:1]])
        elif len(places) == 1:
            raw = self._single.setdefault(values.get("group_id", ""), self._raw("", []))
            assert raw.names is not None
            raw.names.append(label)
            raw.places = np.concatenate([raw.places, places])
            self._open = raw
        else:
            self._open = self._raw(label, None)
            self._open.places = places
