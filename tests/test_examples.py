"""The programs in `examples/` run and do what they say."""

import csv
import importlib.util
import shutil
import sys
from pathlib import Path

import pytest
import torch

from phalanx.hand.anatomy import ANGLE_NAMES

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name, monkeypatch):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pictures(tmp_path):
    """An open hand, a pointing one, and a file that is no picture."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("open.jpg", "point.jpg"):
        shutil.copy(EXAMPLES / name, folder)
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def test_angles_to_csv_writes_a_row_a_picture_and_names_what_it_skips(pictures, tmp_path, monkeypatch, capsys):
    table = tmp_path / "angles.csv"
    assert example("angles_to_csv", monkeypatch).angles_to_csv(pictures, table) == 1
    assert "broken.jpg" in capsys.readouterr().err
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert list(rows[0]) == ["picture", "side", "score", *ANGLE_NAMES]
    assert [row["picture"] for row in rows] == ["open.jpg", "point.jpg"]
    spread, pointing = (float(row["middle_pip_flexion"]) for row in rows)
    assert spread < 25 and pointing > 50  # degrees: the middle finger is stretched in one and curled in the other


def test_pose_gan_learns(tmp_path, monkeypatch):
    from phalanx.train.loop import train

    pose_gan = example("pose_gan", monkeypatch)
    torch.manual_seed(0)
    untrained = pose_gan.figures(pose_gan.PoseGAN(), 32)
    trained = pose_gan.figures(
        train(pose_gan.PoseGAN(), [pose_gan.stage(20_000)], tmp_path / "run", report=lambda line: None), 32
    )
    assert trained["mean_off_deg"] < 0.3 * untrained["mean_off_deg"]
    curve = (tmp_path / "run" / "curve.csv").read_text().splitlines()
    assert {"loss_critic_real", "loss_generator_fooled"} <= set(curve[0].split(",")) and len(curve) > 4
