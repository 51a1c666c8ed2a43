"""Retrieval of poses: Eq. 2.4 and 2.5 literally, what maps may change, recall, placing, files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.core.errors import InputError
from phalanx.fit.pose_retrieval import PoseIndex, placement


def poses(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 21, 2)) * [1.0, 0.6]


def features(u):
    """f of Eq. 2.5."""
    return np.array([u[i, axis] - u[j, axis] for i in range(21) for j in range(i + 1, 21) for axis in (0, 1)])


def literal(u, v):
    """K of Eq. 2.4, and the determinant of the affine map g."""
    design = np.hstack((u, np.ones((21, 1))))
    g = np.linalg.lstsq(design, v, rcond=None)[0]
    f_u, f_v = features(design @ g), features(v)
    return float(f_u @ f_v / np.linalg.norm(f_u) / np.linalg.norm(f_v)), float(np.linalg.det(g[:2]))


def brute_force(known, query):
    """The score of each of many poses, by one least squares each."""
    centred, v = known - known.mean(1, keepdims=True), query - query.mean(0)
    g = np.linalg.pinv(centred) @ v
    moved = centred @ g
    likeness = (moved * v).sum((1, 2)) / np.linalg.norm(moved, axis=(1, 2)) / np.linalg.norm(v)
    return np.where(np.linalg.det(g) > 0, likeness, 0.0)


def test_scores_are_equations_2_4_and_2_5():
    known, query = poses(60), poses(1, 5)[0]
    known[::4] *= [0.03, 1.0]  # fingers upright: hardly any x
    found = PoseIndex.build(known).nearest(query, 60)
    assert sorted(found.numbers.tolist()) == list(range(60))
    assert (np.diff(found.scores) <= 0).all()
    proper = 0
    for number, score in zip(found.numbers, found.scores, strict=True):
        k, determinant = literal(known[number], query)
        assert score == pytest.approx(k if determinant > 0 else 0.0, abs=1e-5)
        proper += determinant > 0
    assert 5 < proper < 55


@given(st.tuples(*[st.floats(-2, 2)] * 6), st.integers(0, 500))
@settings(max_examples=40, deadline=None)
def test_affine_images_of_a_pose_are_its_best_match(numbers, seed):
    turn, shift = np.array(numbers[:4]).reshape(2, 2), np.array(numbers[4:])
    if np.linalg.det(turn) < 0.05:
        return
    known = poses(40, seed)
    found = PoseIndex.build(known).nearest(known[7] @ turn.T + shift)
    assert found.numbers[0] == 7 and found.scores[0] == pytest.approx(1, abs=1e-4)


def test_mirrored_hands_do_not_count():
    known = poses(30)
    found = PoseIndex.build(known).nearest(known[3] * [-1, 1], 30)
    assert found.scores[found.numbers.tolist().index(3)] == 0 and found.numbers[0] != 3


def test_the_index_finds_what_brute_force_finds():
    random = np.random.default_rng(0)
    kinds = random.normal(size=(40, 21, 2))  # hands come in kinds, unlike noise
    known = kinds[random.integers(0, 40, 6000)] + 0.3 * random.normal(size=(6000, 21, 2))
    index = PoseIndex.build(known)
    assert len(index) == 6000 and len(index.starts) == 61
    queries = kinds[random.integers(0, 40, 60)] + 0.3 * random.normal(size=(60, 21, 2))
    truth = [brute_force(known, q) for q in queries]
    assert [index.nearest(q, probed=60).numbers[0] for q in queries] == [scores.argmax() for scores in truth]
    found = [index.nearest(q, probed=16) for q in queries]
    assert np.mean([f.numbers[0] == scores.argmax() for f, scores in zip(found, truth, strict=True)]) > 0.9
    for few, scores in zip(found, truth, strict=True):
        np.testing.assert_allclose(few.scores, scores[few.numbers], atol=1e-5)
    assert all(
        index.nearest(q, probed=1).scores[0] <= scores.max() + 1e-6 for q, scores in zip(queries, truth, strict=True)
    )


def test_building_again_gives_the_same():
    first, second = (PoseIndex.build(poses(500), seed=1) for _ in range(2))
    assert all(np.array_equal(getattr(first, n), getattr(second, n)) for n in ("bases", "numbers", "starts", "middles"))


def test_lines_and_points_are_poses_that_match_badly():
    known = poses(20)
    known[4] = np.linspace(0, 1, 21)[:, None] * [1, 2]
    known[5] = 3.0
    found = PoseIndex.build(known).nearest(known[0], 20)
    scores = dict(zip(found.numbers.tolist(), found.scores.tolist(), strict=True))
    assert scores[0] == pytest.approx(1, abs=1e-5) and scores[4] == 0 and scores[5] == 0


@given(st.floats(-3, 3), st.floats(0.1, 5), st.tuples(st.floats(-9, 9), st.floats(-9, 9)), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_placement_recovers_a_similarity(angle, scale, shift, seed):
    pose = poses(1, seed)[0]
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = placement(pose, pose @ turn.T + shift)
    np.testing.assert_allclose(found, np.hstack((turn, np.array(shift)[:, None])), atol=1e-9)


def test_placement_is_the_least_squares_one():
    pose, onto = poses(2, 3)
    design = np.zeros((42, 4))  # a x - b y + c, b x + a y + d
    design[0::2] = np.column_stack((pose[:, 0], -pose[:, 1], np.ones(21), np.zeros(21)))
    design[1::2] = np.column_stack((pose[:, 1], pose[:, 0], np.zeros(21), np.ones(21)))
    a, b, c, d = np.linalg.lstsq(design, onto.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(placement(pose, onto), [[a, -b, c], [b, a, d]], atol=1e-9)
    with pytest.raises(ValueError, match="one point"):
        placement(np.ones((21, 2)), onto)


def test_files_come_back_and_damaged_ones_are_named(tmp_path):
    index, path = PoseIndex.build(poses(300)), tmp_path / "index.npz"
    index.write(path)
    again, query = PoseIndex.read(path), poses(1, 8)[0]
    assert np.array_equal(again.nearest(query, 9).numbers, index.nearest(query, 9).numbers)
    content, random = path.read_bytes(), np.random.default_rng(0)
    for cut in random.integers(0, len(content) - 100, 12).tolist():
        path.write_bytes(content[:cut])
        with pytest.raises(InputError, match=r"index\.npz"):
            PoseIndex.read(path)
    np.savez(path, bases=index.bases[:-2], numbers=index.numbers, starts=index.starts, middles=index.middles)
    with pytest.raises(InputError, match="damaged"):
        PoseIndex.read(path)
    with pytest.raises(InputError, match="missing"):
        PoseIndex.read(tmp_path / "missing.npz")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("numbers", lambda values: np.array(3)),
        ("numbers", lambda values: values - 400),
        ("numbers", lambda values: values + 0.5),
        ("numbers", lambda values: 0 * values),
        ("starts", lambda values: np.array(0)),
        ("starts", lambda values: values[[0, 2, 1, 3]]),
        ("starts", lambda values: values.astype(float)),
        ("bases", lambda values: values * np.nan),
        ("bases", lambda values: values.astype("U8")),
        ("middles", lambda values: values * 1j),
        ("middles", lambda values: values[:, :9]),
    ],
)
def test_an_index_of_parts_that_do_not_fit_is_refused(tmp_path, name, change):
    index = PoseIndex.build(poses(300))
    arrays = {key: getattr(index, key) for key in ("bases", "numbers", "starts", "middles")}
    np.savez(tmp_path / "index.npz", **(arrays | {name: change(arrays[name])}))
    with pytest.raises(InputError, match=r"index\.npz: is a damaged index of poses"):
        PoseIndex.read(tmp_path / "index.npz")


def test_damaged_bytes_are_named_or_harmless(tmp_path):
    index, path = PoseIndex.build(poses(20)), tmp_path / "index.npz"
    index.write(path)
    content, random, query = path.read_bytes(), np.random.default_rng(1), poses(1, 8)[0]
    refused = 0
    for place in random.integers(0, len(content), 60).tolist():
        path.write_bytes(content[:place] + bytes([content[place] ^ random.integers(1, 256)]) + content[place + 1 :])
        try:
            found = PoseIndex.read(path).nearest(query, 9)
        except InputError as error:
            assert "index.npz" in str(error)
            refused += 1
        else:
            assert np.array_equal(found.numbers, index.nearest(query, 9).numbers)
    assert refused > 40


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros((4, 20, 2)), "expected, not"),
        (np.zeros((0, 21, 2)), "expected, not"),
        (np.where(np.arange(84 * 2).reshape(4, 21, 2) == 50, np.nan, 1.0), "number 1 is not finite"),
    ],
)
def test_bad_poses_are_refused(given, says):
    with pytest.raises(InputError, match=says):
        PoseIndex.build(given)


@pytest.mark.parametrize("query", [np.zeros((20, 2)), np.full((21, 2), np.nan), np.ones((21, 2))])
def test_bad_queries_are_refused(query):
    with pytest.raises(InputError, match="query"):
        PoseIndex.build(poses(5)).nearest(query)
