import io
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from rich.console import Console
from scipy.io import savemat

from phalanx.core.errors import InputError
from phalanx.data.public.photos3d import Photos3D, read_photos3d
from phalanx.evaluate.photos3d import evaluate_photos3d, find_in_photos, score_photos3d, show
from phalanx.evaluate.predictions import FoundJoints, JointPredictions, load_predictions, save_predictions
from phalanx.evaluate.steps import Steps
from phalanx.evaluate.table import print_table
from phalanx.evaluate.worst import worst_photos

COUNT = 24  # more than one run of 20, so that there is a second half


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 flat pictures whose grey value is their number."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((256, 256, 3), index, np.uint8))
    savemat(
        folder / "params.mat",
        {
            "image_path": np.array([f"{index}.png" for index in range(COUNT)]),
            "bbox": np.tile([380, 164, 500, 500], (COUNT, 1)),
            "cam_param": np.tile([900.0, 900.0, 640.0, 360.0], (COUNT, 1)),
        },
    )
    savemat(folder / "pose_gt.mat", {"pose_gt": rng.normal(size=(COUNT, 21, 3)) * 4 + [0, 2, 45]})
    return folder


class Stub:
    """Answers with the truth, moved by `spoil(index, joints_2d, joints, K)`; records how it was called."""

    def __init__(self, photos: Photos3D, spoil=lambda index, joints_2d, joints, K: (joints_2d, joints)) -> None:
        self.photos, self.spoil, self.calls = photos, spoil, []

    def __call__(self, image, box=None, K=None, side=None):
        index = int(image[0, 0, 0])
        self.calls.append((index, box, K, side))
        answer = self.spoil(index, self.photos.joints_2d[index], self.photos.joints[index], K)
        return [] if answer is None else [SimpleNamespace(joints_2d=answer[0], joints=answer[1])]


def test_the_predictor_gets_the_whole_crop_and_the_camera_only_when_it_is_given(folder):
    photos = read_photos3d(folder)
    stub = Stub(photos)
    evaluate_photos3d(folder, Steps(stub))
    assert [call[0] for call in stub.calls] == [0, 0] + [index for index in range(COUNT) for _ in range(2)]
    assert {call[1] for call in stub.calls} == {(0, 0, 256, 256)}
    assert {call[3] for call in stub.calls} == {"left"}
    for index, _, K, _ in stub.calls[::2]:
        np.testing.assert_array_equal(K, photos.K[index])
    assert all(K is None for _, _, K, _ in stub.calls[1::2])


def test_the_truth_scores_zero_and_another_place_and_size_cost_nothing_in_3d(folder):
    photos = read_photos3d(folder)
    report = evaluate_photos3d(folder, Steps(Stub(photos, lambda i, p, j, K: (p, 3 * j + 1))))
    for key in ("epe_2d_px", "epe_3d_root_scaled_mm", "epe_3d_procrustes_mm"):
        assert report[key] == pytest.approx(0, abs=1e-9)
        assert report[f"{key}_mapped"] == pytest.approx(0, abs=1e-9)
    for key in ("auc_0_50", "auc_20_50", "auc_0_50_mapped", "auc_20_50_mapped"):
        assert report[key] == pytest.approx(1)
    assert (report["photos"], report["missed"]) == (COUNT, 0)
    assert report["ms_per_image"] > 0


def test_known_errors_give_known_figures_with_and_without_the_camera(folder):
    def spoil(index, joints_2d, joints, K):
        moved = joints.copy()
        moved[5] += [0, 0, 1e-6] if K is not None else [0.021, 0, 0]  # one joint of 21, 21 mm
        return joints_2d + [3.0, 4.0], moved

    report = evaluate_photos3d(folder, Steps(Stub(read_photos3d(folder), spoil)))
    assert report["epe_2d_px"] == pytest.approx(5)
    assert report["focal_given"]["epe_3d_root_scaled_mm"] == pytest.approx(0, abs=1e-3)
    # The scale follows the moved joint a little, so every joint pays some
    assert 1 < report["focal_not_given"]["epe_3d_root_scaled_mm"] < 4
    assert {key: report[key] for key in report["focal_given"]} == report["focal_given"]


def test_missed_hands_are_counted_left_out_of_means_and_wrong_in_the_auc(folder):
    def spoil(index, joints_2d, joints, K):
        return None if index % 4 == 0 else (joints_2d + [0.0, 2.0], joints)

    report = evaluate_photos3d(folder, Steps(Stub(read_photos3d(folder), spoil)))
    assert report["missed"] == COUNT // 4
    assert report["epe_2d_px"] == pytest.approx(2)
    assert report["auc_0_50"] == pytest.approx(0.75)
    assert sum(group["missed"] for group in report["by_view"].values()) == COUNT // 4


def test_a_predictor_that_misses_everything_gets_no_errors_and_no_area(folder, capsys):
    report = evaluate_photos3d(folder, Steps(Stub(read_photos3d(folder), lambda *_: None)))
    assert capsys.readouterr().out == ""
    show(report)
    shown = capsys.readouterr().out
    assert "focal given" in shown and "focal not given" in shown and "- / -" in shown
    assert report["missed"] == COUNT
    assert (report["epe_2d_px"], report["epe_3d_root_scaled_mm_mapped"]) == (None, None)
    assert (report["auc_0_50"], report["auc_20_50"]) == (0, 0)


def test_groups_are_parts_of_the_whole(folder):
    rng = np.random.default_rng(1)

    def spoil(index, joints_2d, joints, K):
        return joints_2d + rng.normal(size=(21, 2)), joints + rng.normal(size=(21, 3)) * 0.01

    figures = evaluate_photos3d(folder, Steps(Stub(read_photos3d(folder), spoil)), known_focal=True)
    assert "focal_not_given" not in figures
    for groups in (figures["by_view"], figures["by_curled"]):
        parts = [group for group in groups.values() if group["photos"]]
        assert sum(group["photos"] for group in parts) == COUNT
        for key in ("epe_2d_px_mapped", "epe_3d_procrustes_mm", "auc_0_50", "ms_per_image"):
            assert sum(group[key] * group["photos"] for group in parts) / COUNT == pytest.approx(figures[key])


def test_saved_predictions_give_the_same_figures_and_files_are_written(folder, tmp_path):
    rng = np.random.default_rng(2)

    def spoil(index, joints_2d, joints, K):
        return None if index == 7 else (joints_2d + 9 * rng.normal(size=(21, 2)), joints + rng.normal(size=(21, 3)))

    saved, figures, sheet = tmp_path / "predictions.npz", tmp_path / "figures.json", tmp_path / "worst.png"
    first = evaluate_photos3d(folder, Steps(Stub(read_photos3d(folder), spoil), save=saved))
    second = evaluate_photos3d(folder, Steps(predictions=saved, json_path=figures), worst=sheet, worst_count=6)
    assert first == second == json.loads(figures.read_text())
    assert cv2.imread(str(sheet)).shape == (2 * (384 + 22) + 22, 5 * 384, 3)  # two rows and the legend
    assert {path.name for path in tmp_path.iterdir()} == {"predictions.npz", "figures.json", "worst.png"}


def test_the_worst_photos_are_the_missed_and_then_those_with_the_largest_2d_error(folder):
    photos = read_photos3d(folder)
    shift = np.zeros((COUNT, 1, 2))
    shift[[3, 11], 0, 0] = 5, 50
    joints_2d = photos.joints_2d + shift
    joints_2d[20] = np.nan
    predictions = JointPredictions(joints_2d, photos.joints, np.zeros(COUNT))
    assert worst_photos(photos, predictions, 3).tolist() == [20, 11, 3]


def test_finders_take_turns(folder):
    order = []

    def named(name):
        def find(image, K):
            order.append(name)
            return FoundJoints(None, None, 1.0)

        return find

    runs = find_in_photos(read_photos3d(folder), {"a": named("a"), "b": named("b")})
    assert order == ["a", "b"] * (COUNT + 1)  # once to warm up
    assert not runs["a"].found.any()


def test_the_table_names_every_run_and_group(folder):
    photos = read_photos3d(folder)
    joints = photos.joints.copy()
    joints[5] = np.nan
    run = JointPredictions(photos.joints_2d, joints, np.full(COUNT, 12.5))
    console = Console(width=40, record=True, file=io.StringIO())
    print_table({"focal_given": score_photos3d(photos, run), "other": score_photos3d(photos, run)}, console)

    text = console.export_text()
    row = next(line.split() for line in text.splitlines() if line.split()[:1] == ["all"])
    assert row == "all focal given 24 1 0.0 / 0.0 0.0 / 0.0 0.0 / 0.0 0.96 0.96 12.5".split()
    assert "other" in text


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_bytes(path.read_bytes()[:-200]), "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:300] + b"x" * 40 + path.read_bytes()[340:]), "is damaged"),
        (lambda path: path.write_bytes(np.zeros(3).tobytes()), "is damaged or not an NPZ"),
        (lambda path: np.savez(path, image_path=["b.png"]), "are of other pictures than the 2"),
        (lambda path: np.savez(path, image_path=["a.png", "b.png"]), "holds no predictions"),
        (
            lambda path: np.savez(path, image_path=["a.png", "b.png"], **{"run/joints_2d": np.zeros((2, 21, 3))}),
            r"run/joints_2d: floats of shape \(2, 21, 2\) expected, is float64 \(2, 21, 3\)",
        ),
        (
            lambda path: np.savez(path, image_path=["a.png", "b.png"], **{"run/joints_2d": np.zeros((2, 21, 2))}),
            "run/joints: .* is missing",
        ),
    ],
)
def test_bad_files_of_predictions_are_named(tmp_path, spoil, message):
    path = tmp_path / "saved.npz"
    rng = np.random.default_rng(0)
    run = JointPredictions(rng.normal(size=(2, 21, 2)), rng.normal(size=(2, 21, 3)), np.ones(2))
    save_predictions(path, ["a.png", "b.png"], {"run": run})
    loaded = load_predictions(path, ["a.png", "b.png"])
    np.testing.assert_array_equal(loaded["run"].joints, run.joints)
    assert loaded["run"].made_by == ""
    spoil(path)
    with pytest.raises(InputError, match=rf"saved\.npz: .*{message}|saved\.npz: {message}"):
        load_predictions(path, ["a.png", "b.png"])


def test_files_that_cannot_be_written_are_named_before_anything_is_predicted(folder, tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("save", "json_path", "worst"):
        with pytest.raises(InputError, match="file: the output folder cannot be written"):
            blocked = {name: tmp_path / "file" / "a"}
            steps = Steps(**blocked) if name != "worst" else Steps()
            evaluate_photos3d(folder, steps, worst=blocked.get("worst"))


def test_bad_arguments_are_refused(folder, tmp_path):
    photos = read_photos3d(folder)
    with pytest.raises(InputError, match="give no predictor"):
        evaluate_photos3d(folder, Steps(Stub(photos), predictions=tmp_path / "x.npz"))
    with pytest.raises(InputError, match="known_focal"):
        evaluate_photos3d(folder, Steps(predictions=tmp_path / "x.npz"), known_focal=True)
    with pytest.raises(InputError, match="cannot be written: it is a folder"):
        evaluate_photos3d(folder, Steps(Stub(photos), json_path=tmp_path))
    with pytest.raises(InputError, match="worst_count: at least 1"):
        evaluate_photos3d(folder, Steps(Stub(photos)), worst=tmp_path / "w.png", worst_count=0)


def test_noise_on_the_truth_of_real_photos_scores_as_noise(real):
    photos = read_photos3d(real("photos_3d"))
    rng = np.random.default_rng(0)
    predictions = JointPredictions(
        photos.joints_2d + 4 * rng.normal(size=photos.joints_2d.shape),
        photos.joints + 0.005 * rng.normal(size=photos.joints.shape),
        np.ones(len(photos)),
    )
    figures = score_photos3d(photos, predictions)
    assert figures["epe_2d_px"] == pytest.approx(4 * np.sqrt(np.pi / 2), rel=0.02)  # mean of a Rayleigh variable
    assert figures["epe_3d_procrustes_mm"] == pytest.approx(5 * np.sqrt(8 / np.pi), rel=0.08)  # of a Maxwell variable
    assert figures["epe_3d_root_scaled_mm"] > figures["epe_3d_procrustes_mm"]
    assert figures["epe_2d_px_mapped"] < figures["epe_2d_px"]
