"""Files of keypoints: every form that people have them in, and damage of any kind."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.core.errors import InputError
from phalanx.data.keypoints import Track, read_keypoints


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(5, 21, 3))


def one(path) -> Track:
    tracks = read_keypoints(path)
    assert len(tracks) == 1 and tracks[0].name == ""
    return tracks[0]


def landmarks(hand: np.ndarray) -> list[dict[str, float]]:
    return [dict(zip("xyz", map(float, point), strict=True)) for point in hand]


@pytest.mark.parametrize("form", ["(N, 21, 3)", "(N, 63)", "float32", "one frame", "flat", "fortran"])
def test_arrays_of_one_hand(points, tmp_path, form):
    given = {
        "(N, 21, 3)": points,
        "(N, 63)": points.reshape(5, 63),
        "float32": points.astype(np.float32),
        "one frame": points[0],
        "flat": points[0].ravel(),
        "fortran": np.asfortranarray(points),
    }[form]
    np.save(tmp_path / "a.npy", given)
    np.savez_compressed(tmp_path / "a.npz", keypoints=given, other=np.zeros(2))
    np.savez(tmp_path / "b.npz", anything=given)
    for name in ("a.npy", "a.npz", "b.npz"):
        track = one(tmp_path / name)
        np.testing.assert_allclose(track.points, points if len(track.points) == 5 else points[:1], rtol=1e-6)
        assert (track.confidence == 1).all() and not track.in_picture and track.times is None


@pytest.mark.parametrize("flat", [False, True])
def test_confidences_stand_beside_joints_or_in_a_fourth_column(points, tmp_path, flat):
    sure = np.random.default_rng(1).random((5, 21))
    sure[0, 3] = np.nan
    both = np.concatenate((points, sure[..., None]), axis=2)
    np.save(tmp_path / "four.npy", both.reshape(5, 84) if flat else both)
    np.savez(tmp_path / "beside.npz", joints=points, confidence=3 * sure, times=[0.0, 0.1, 0.2, 0.3, 0.5])
    np.testing.assert_array_equal(one(tmp_path / "four.npy").points, points)
    np.testing.assert_array_equal(one(tmp_path / "four.npy").confidence, np.nan_to_num(sure))
    beside = one(tmp_path / "beside.npz")
    np.testing.assert_array_equal(beside.confidence, np.minimum(np.nan_to_num(3 * sure), 1))
    assert beside.times is not None and beside.times[-1] == 0.5


@pytest.mark.parametrize("form", ["(N, 42, 3)", "(N, 2, 21, 3)", "(N, 126)", "(42, 3)"])
def test_arrays_of_two_hands(points, tmp_path, form):
    two = np.stack((points, points + 1), axis=1)
    shaped = {
        "(N, 42, 3)": two.reshape(5, 42, 3),
        "(N, 2, 21, 3)": two,
        "(N, 126)": two.reshape(5, 126),
        "(42, 3)": two[0].reshape(42, 3),
    }[form]
    np.save(tmp_path / "two.npy", shaped)
    first, second = read_keypoints(tmp_path / "two.npy")
    assert (first.name, second.name) == ("hand_1", "hand_2")
    np.testing.assert_array_equal(first.points, points[: len(first.points)])
    np.testing.assert_array_equal(second.points, 1 + points[: len(first.points)])


def test_places_in_a_picture(points, tmp_path):
    np.save(tmp_path / "flat.npy", points[..., :2].reshape(5, 42))
    track = one(tmp_path / "flat.npy")
    np.testing.assert_array_equal(track.points, points[..., :2])
    assert track.in_picture


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
@pytest.mark.parametrize("heading", [False, True])
def test_tables(points, tmp_path, separator, heading):
    lines = [separator.join([str(n), str(n / 30), *map(repr, row.ravel().tolist())]) for n, row in enumerate(points)]
    if separator != " ":
        lines[2] = lines[2].replace(repr(float(points[2, 1, 0])), "" if separator == "," else "nan")
    if heading:
        lines.insert(0, separator.join(["frame", "time", *(f"{axis}{n}" for n in range(21) for axis in "xyz")]))
    (tmp_path / "a.csv").write_text("\ufeff" + "\n".join(lines) + "\n\n", encoding="utf-8")
    track = one(tmp_path / "a.csv")
    expected = points.copy()
    if separator != " ":
        expected[2, 1, 0] = np.nan
    np.testing.assert_array_equal(track.points, expected)
    if heading:
        np.testing.assert_allclose(track.times, np.arange(5) / 30)
    else:
        assert track.times is None


def legacy(hands, sides):
    return {
        "multi_hand_landmarks": [{"landmark": landmarks(hand * 0.01 + 0.5)} for hand in hands],
        "multi_hand_world_landmarks": [{"landmark": landmarks(hand)} for hand in hands],
        "multi_handedness": [{"classification": [{"index": 0, "score": 0.9, "label": side}]} for side in sides],
    }


def tasks(hands, sides):
    return {
        "hand_landmarks": [landmarks(hand * 0.01 + 0.5) for hand in hands],
        "hand_world_landmarks": [landmarks(hand) for hand in hands],
        "handedness": [[{"category_name": side, "score": 0.9}] for side in sides],
        "timestamp_ms": 0,
    }


def javascript(hands, sides):
    return {
        "landmarks": [landmarks(hand * 0.01 + 0.5) for hand in hands],
        "worldLandmarks": [landmarks(hand) for hand in hands],
        "handednesses": [[{"categoryName": side}] for side in sides],
    }


@pytest.mark.parametrize("form", [legacy, tasks, javascript])
def test_results_of_mediapipe(points, tmp_path, form):
    frames = [form([hand], ["Right"]) for hand in points]
    frames[3] = form([], [])
    for number, frame in enumerate(frames):
        frame["timestamp_ms"] = 40 * number
    (tmp_path / "a.json").write_text(json.dumps(frames))
    track = one(tmp_path / "a.json")
    assert not track.in_picture and np.isnan(track.points[3]).all()
    np.testing.assert_array_equal(np.delete(track.points, 3, 0), np.delete(points, 3, 0))
    np.testing.assert_allclose(track.times, 0.04 * np.arange(5))
    (tmp_path / "one.json").write_text(json.dumps(frames[0]))
    np.testing.assert_array_equal(one(tmp_path / "one.json").points, points[:1])


@pytest.mark.parametrize("form", [legacy, tasks])
def test_two_hands_are_kept_apart_by_their_names(points, tmp_path, form):
    frames = [form([points[0], points[1]], ["Left", "Right"]), form([points[2], points[3]], ["Right", "Left"])]
    frames.append(form([points[4]], ["Right"]))
    (tmp_path / "a.json").write_text(json.dumps({"frames": frames}))
    left, right = read_keypoints(tmp_path / "a.json")
    np.testing.assert_array_equal(left.points[:2], points[[0, 3]])
    np.testing.assert_array_equal(right.points, points[[1, 2, 4]])
    assert np.isnan(left.points[2]).all()


def test_image_landmarks_and_bare_lists(points, tmp_path):
    result = {"hand_landmarks": [landmarks(points[0])]}
    (tmp_path / "image.json").write_text(json.dumps([result]))
    assert one(tmp_path / "image.json").in_picture
    (tmp_path / "single.json").write_text(json.dumps({"landmarks": landmarks(points[0])}))
    np.testing.assert_array_equal(one(tmp_path / "single.json").points, points[:1])
    (tmp_path / "list.json").write_text(json.dumps(points.tolist()))
    np.testing.assert_array_equal(one(tmp_path / "list.json").points, points)


def test_faults_are_one_sentence(points, tmp_path):
    def refused(name: str, content, says: str) -> None:
        path = tmp_path / name
        if isinstance(content, np.ndarray):
            np.save(path, content)
        elif isinstance(content, dict) and name.endswith("npz"):
            np.savez(path, **content)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        with pytest.raises(InputError) as caught:
            read_keypoints(path)
        assert str(caught.value).startswith(str(path)) and says in str(caught.value), caught.value
        assert "\n" not in str(caught.value)

    refused("shape.npy", np.zeros((4, 20, 3)), "joints must have the shape (frames, 21, 3), not (4, 20, 3)")
    refused("none.npy", np.zeros((0, 21, 3)), "not (0, 21, 3)")
    refused("text.npy", np.full((2, 21, 3), "a"), "must be numbers")
    refused("truth.npy", np.ones((2, 21, 3), bool), "must be numbers, not bool")
    refused("complex.npy", np.ones((2, 21, 3), complex), "must be numbers, not complex")
    refused("names.npz", {"left": points, "right": points}, "has no array 'joints' (it has left, right)")
    refused("sure.npz", {"joints": points, "confidence": np.ones((5, 20))}, "the confidences have the shape (5, 20)")
    refused("minus.npz", {"joints": points, "confidence": -np.ones((5, 21))}, "a negative confidence")
    refused("times.npz", {"joints": points, "times": np.zeros(5)}, "the times do not increase")
    refused("short.npz", {"joints": points, "times": np.arange(4.0)}, "and there are 5 frames")
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"9" * 12 + b", 21, 3), }\n"
    refused("huge.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header, "")
    bracket = b"{'descr': '<f8', 'shape': ((((1,), }\n"
    refused("token.npy", b"\x93NUMPY\x01\x00" + len(bracket).to_bytes(2, "little") + bracket, "is not a whole NPZ")
    refused("zip.npz", b"PK\x03\x04 and nothing", "is not a whole NPZ")
    refused("columns.csv", "1,2,3\n", "has 3 columns; a frame is a row of 63 numbers")
    refused("word.csv", ",".join("1" * 63) + "\n" + ",".join(["a"] + ["1"] * 62), "line 2 holds 'a', which is no")
    refused("ragged.csv", ",".join("1" * 63) + "\n1,2\n", "line 2 has 2 columns and not 63")
    refused("heading.csv", "a,b,c\n", "has a heading and no rows")
    refused("blank.csv", "\n \n", "is empty")
    refused("other.json", {"a": 1}, "is no result of MediaPipe's hands")
    refused("mixed.json", [{"hand_landmarks": []}, 3], "frame 1 is no result of MediaPipe's hands")
    refused("nobody.json", [{"hand_landmarks": []}], "no hand was found in any of its 1 frames")
    refused("few.json", [{"hand_landmarks": [landmarks(points[0][:5])]}], "a hand of 5 landmarks and not of 21")
    refused("words.json", [{"hand_landmarks": [["a"] * 21]}], "landmarks are not numbers")
    refused("cut.json", "[{", "is cut short or not JSON")
    refused("ragged.json", [[1.0], [1.0, 2.0]], "nor an array of numbers")
    with pytest.raises(InputError, match="missing.npz: cannot be read"):
        read_keypoints(tmp_path / "missing.npz")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes_never_surprise(tmp_path_factory, data):
    """Whatever bytes are wrong: keypoints or one sentence, and no other exception."""
    points = np.random.default_rng(0).normal(size=(2, 21, 3))
    kind = data.draw(st.sampled_from([".npz", ".npy", ".csv", ".json"]))
    buffer = io.BytesIO()
    if kind == ".npz":
        np.savez(buffer, joints=points)
    elif kind == ".npy":
        np.save(buffer, points)
    elif kind == ".csv":
        np.savetxt(buffer, points.reshape(2, 63), delimiter=",", fmt="%.3f")
    else:
        buffer.write(json.dumps([tasks([hand.round(2)], ["Right"]) for hand in points]).encode())
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(content) - 1, 400)))
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.sampled_from([len(content), len(content) // 2, 130]))]
    path = tmp_path_factory.getbasetemp() / f"damaged{kind}"
    path.write_bytes(content)
    try:
        for track in read_keypoints(path):
            assert track.points.shape[1:] in ((21, 2), (21, 3)) and track.confidence.shape == track.points.shape[:2]
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
