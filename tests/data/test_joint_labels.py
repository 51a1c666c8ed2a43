"""Label files of the three tools: what they say, in any order and under any names; and their faults, by file and line."""

import json

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.joint_labels import file_names, read_joint_labels
from phalanx.hand.skeleton import JOINT_NAMES, ORDERS
from phalanx.synth import SynthConfig, make_chunk


@pytest.fixture(scope="module")
def hands():
    """Joints (8, 21, 2) in pictures of 200 pixels, and (8, 21, 3) metres."""
    sample = make_chunk(SynthConfig(size=64, tiles=4, skins=2, dense=False), 3, 0)[:8]
    return 3 * sample.joints_2d.double().numpy().round(1) + 4, sample.joints.double().numpy()


def coco(points, names=None, **more):
    """A file's content; `points (N, 21, 2)`, NaN where there is no label."""
    annotations = []
    for number, hand in enumerate(points):
        triples = np.c_[np.nan_to_num(hand), 2 * np.isfinite(hand[:, 0])]
        extra = {name: values[number] for name, values in more.items()}
        annotations.append({"image_id": number, "category_id": 1, "keypoints": triples.ravel().tolist(), **extra})
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 200, "height": 200} for n in range(len(points))]
    category = {"id": 1, "name": "hand"} | ({} if names is None else {"keypoints": names})
    return {"images": images, "annotations": annotations, "categories": [category]}


def write(path, data):
    path.write_text(json.dumps(data, indent=1))
    return path


def cvat(path, points, names, shape="skeleton"):
    """Hands as CVAT writes them: skeletons, single points in groups, or one shape of all."""
    lines = ["<annotations><version>1.1</version>"]
    for number, hand in enumerate(points):
        pairs = [f"{x + 0.5:.2f},{y + 0.5:.2f}" for x, y in hand]
        lines.append(f'<image id="{number}" name="{number}.jpg" width="200" height="200">')
        if shape == "all":
            lines.append(
                f'<points label="hand" points="{";".join(pairs)}"><attribute name="side">left</attribute></points>'
            )
        else:
            tags = [
                f'<points label="{name}" outside="{int(name == "ring_tip")}" group_id="7" points="{pair}"></points>'
                for name, pair in zip(names, pairs, strict=True)
            ]
            lines += ['<skeleton label="Left hand">', *tags, "</skeleton>"] if shape == "skeleton" else tags
        lines.append("</image>")
    path.write_text("\n".join([*lines, "</annotations>"]))
    return path


def label_studio(points, names, minimal=False):
    tasks = []
    for number, hand in enumerate(points):
        values = [
            {"x": (x + 0.5) / 2, "y": (y + 0.5) / 2, "width": 0.5, "keypointlabels": [name]}
            for name, (x, y) in zip(names, hand, strict=True)
        ]
        size = {"original_width": 200, "original_height": 200}
        picture = f"/data/upload/1/0a1b2c3d-{number}.jpg"
        if minimal:
            tasks.append({"image": picture, "id": number, "kp": [value | size for value in values]})
            continue
        box = {"id": "b", "type": "rectanglelabels", "value": {"x": 1, "rectanglelabels": ["right hand"]}, **size}
        results = [{"type": "keypointlabels", "parentID": "b", "value": value, **size} for value in values]
        annotations = [{"result": [box, *results]}, {"was_cancelled": True, "result": []}]
        tasks.append({"data": {"image": picture}, "annotations": annotations})
    return tasks


def test_coco_by_names_in_any_sequence(tmp_path, hands):
    shuffled = np.random.default_rng(0).permutation(21)
    names = [JOINT_NAMES[joint] for joint in shuffled]
    points = hands[0].copy()
    points[1, 7] = np.nan
    sides = ["left", "right", "interacting"] * 3
    path = write(tmp_path / "a.json", coco(points[:, shuffled], names, hand_type=sides))
    found = read_joint_labels(path)
    assert found.faults == [] and [hand.side for hand in found.hands[:3]] == ["left", "right", None]
    assert [hand.picture for hand in found.hands] == [f"{number}.jpg" for number in range(8)]
    np.testing.assert_allclose(np.stack([hand.points for hand in found.hands]), points)
    lines = path.read_text().splitlines()
    line = int(found.hands[2].where.split("line ")[1].split(",")[0])
    assert lines[line - 1 : line + 1] == ["  {", '   "image_id": 2,']


def test_a_category_may_name_both_hands(tmp_path, hands):
    names = [f"{side}_{name}" for side in ("left", "right") for name in JOINT_NAMES]
    data = coco(hands[0][:2].reshape(1, 42, 2), names)
    found = read_joint_labels(write(tmp_path / "a.json", data))
    assert [hand.side for hand in found.hands] == ["left", "right"]
    np.testing.assert_allclose(found.hands[1].points, hands[0][1])


@pytest.mark.parametrize("order", ["mano", "interhand", "stb"])
def test_points_without_names_are_in_the_stated_order(tmp_path, hands, order):
    theirs = [values[:, np.argsort(ORDERS[order])] for values in hands]
    path = write(tmp_path / "a.json", coco(theirs[0], joint_cam=(1000 * theirs[1]).tolist()))
    found = read_joint_labels(path, order).hands
    wrist = int(order == "stb")  # it has none
    np.testing.assert_allclose(
        np.stack([hand.joints for hand in found])[:, wrist:], hands[1][:, wrist:]
    )  # metres again
    assert np.isnan(found[0].points[0]).all() == np.isnan(found[0].joints[0]).all() == bool(wrist)
    np.testing.assert_allclose(np.stack([hand.points for hand in found])[:, 1:], hands[0][:, 1:])
    with pytest.raises(InputError, match=rf"a\.json: line \d+: joints seem to be in the order {order}, not in phalanx"):
        read_joint_labels(path)


@pytest.mark.parametrize("shape", ["skeleton", "single", "all"])
def test_cvat(tmp_path, hands, shape):
    found = read_joint_labels(cvat(tmp_path / "a.xml", hands[0], JOINT_NAMES, shape))
    assert found.faults == [] and len(found.hands) == 8
    points = np.stack([hand.points for hand in found.hands])
    assert np.isnan(points[:, 16]).all() == (shape != "all")  # it was outside
    assert {hand.side for hand in found.hands} == {None if shape == "single" else "left"}
    known = np.isfinite(points)
    np.testing.assert_allclose(points[known], hands[0][known], atol=0.006)
    assert ": line 3" in found.hands[0].where or ": line 4" in found.hands[0].where


def test_cvat_with_numbers_for_names(tmp_path, hands):
    names = [str(number) for number in np.argsort(ORDERS["mano"])[::-1].argsort() + 1]
    inverse = np.argsort(ORDERS["mano"])
    places = [int(name) - 1 for name in names]
    points = hands[0][:, inverse][:, places]  # point of name n is number n - 1 of the order mano
    found = read_joint_labels(cvat(tmp_path / "a.xml", points, names), "mano")
    np.testing.assert_allclose(found.hands[3].points, hands[0][3], atol=0.006)


@pytest.mark.parametrize("minimal", [False, True])
def test_label_studio(tmp_path, hands, minimal):
    names = ["Wrist", *JOINT_NAMES[1:]]
    found = read_joint_labels(write(tmp_path / "a.json", label_studio(hands[0], names, minimal)))
    assert found.faults == [] and {hand.side for hand in found.hands} == {None if minimal else "right"}
    np.testing.assert_allclose(np.stack([hand.points for hand in found.hands]), hands[0])
    assert file_names(found.hands[5].picture)[-1] == "data/upload/1/5.jpg"


def test_label_studio_tasks_hold_other_texts_too(tmp_path, hands):
    tasks = label_studio(hands[0], JOINT_NAMES)
    for number, task in enumerate(tasks):
        task["data"] = {"note": "by Dr. Who, 2.5 m", "image": f"/data/local-files/?d=a/{number}.jpg"}
    found = read_joint_labels(write(tmp_path / "a.json", tasks))
    assert found.faults == [] and file_names(found.hands[5].picture) == ["a/5.jpg"]


def test_names_of_files():
    assert file_names("a/b.jpg") == ["a/b.jpg"] and file_names("/data/local-files/?d=x/y%20z.png") == ["x/y z.png"]
    assert file_names("http://[a.png") == ["http://[a.png"]
    assert file_names("https://host/up/deadbeef-1.png?t=1") == ["up/deadbeef-1.png", "up/1.png"]


def test_faults_are_named_by_line_and_the_rest_is_read(tmp_path, hands):
    data = coco(hands[0], list(JOINT_NAMES))
    data["annotations"][1]["keypoints"] = [1, 2, 3]
    data["annotations"][2]["image_id"] = 99
    data["annotations"][3]["keypoints"] = (hands[0][3] / 200).repeat(2, 1)[:, :3].ravel().tolist()
    data["annotations"][4]["keypoints"][0] = 5e4
    data["annotations"].append("what")
    data["annotations"].append({"image_id": 0, "category_id": 1})  # without keypoints: no fault
    found = read_joint_labels(write(tmp_path / "a.json", data))
    assert [hand.picture for hand in found.hands] == ["0.jpg", "5.jpg", "6.jpg", "7.jpg"]
    says = [
        "annotation 1: has 1 keypoints, and its category names 21",
        "annotation 2: belongs to the image 99",
        "annotation 8: is not an object",
        "annotation 3: the hand is",
        "annotation 4: the point 50000",
    ]
    for text, fault in zip(says, found.faults, strict=True):
        assert text in fault and ": line " in fault


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "a.json",
            '{"images": [],\n "annotations": [\n  {"image_id": 1,]}',
            r"a\.json: line 3: is cut short or not JSON",
        ),
        ("a.json", '{"images": [], "annotations": []} x', r"line 1: is cut short"),
        ("a.json", '{"K": [1, 2, 3, 4]}', r"is neither COCO keypoints"),
        ("a.json", "[1, 2]", r"is neither COCO keypoints"),
        ("a.json", "", r"empty"),
        ("a.xml", "<annotations>\n<image", r"a\.xml: line 2: is cut short or not XML"),
        ("a.xml", "<root/>", r"line 1: is not an export of CVAT; its outermost tag is root"),
        ("a.xml", "<annotations>\n<track id='0'/></annotations>", r"line 2: is of CVAT for video"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', r"line 1: declares entities"),
    ],
)
def test_files_of_other_kinds_are_refused(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=says):
        read_joint_labels(tmp_path / name)


def test_points_at_fault_in_cvat(tmp_path, hands):
    path = cvat(tmp_path / "a.xml", hands[0][:2], JOINT_NAMES)
    text = path.read_text().replace('label="wrist"', 'label="root"', 1)
    path.write_text(text + "\n")
    found = read_joint_labels(path)
    assert len(found.hands) == 1 and "line 3, picture 0.jpg: 'root' is no joint's name" in found.faults[0]
    path.write_text(text.replace('points="', 'points="x', 1))
    assert any("line 4: points of 'root' must be pairs" in fault for fault in read_joint_labels(path).faults)


def test_an_order_that_does_not_exist(tmp_path, hands):
    with pytest.raises(InputError, match=r"order: 'openpose' is none of phalanx, mano"):
        read_joint_labels(write(tmp_path / "a.json", coco(hands[0])), "openpose")


def test_files_of_public_sets(real):
    folder = real("benchmark_samples")
    assert len(read_joint_labels(folder / "freihand" / "test_freihand.json").hands) == 8
    assert len(read_joint_labels(folder / "onehand10k" / "test_onehand10k.json").hands) == 4
    body = read_joint_labels(folder / "coco" / "test_coco_wholebody.json").hands
    assert len(body) == 10 and {hand.side for hand in body} == {"left", "right"}
    with pytest.raises(InputError, match=r"line 60: joints seem to be in the order rhd, not in phalanx"):
        read_joint_labels(folder / "rhd" / "test_rhd.json")  # its names are of another order than its points
    rhd = read_joint_labels(folder / "rhd" / "test_rhd.json", "rhd").hands
    for hand in rhd:
        assert 0.08 < np.linalg.norm(hand.joints[9] - hand.joints[0]) < 0.11
    with pytest.raises(InputError, match=r"line 60: joints seem to be in the order phalanx, not in rhd"):
        read_joint_labels(folder / "freihand" / "test_freihand.json", "rhd")
