"""Prediction that is refined on the estimator's mask."""

import copy
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.methods.compact import load
from phalanx.predict.predictor import Predictor
from phalanx.predict.runtime import OnnxEstimator, load_estimator

PICTURE = Path(__file__).parents[2] / "examples" / "open.jpg"


def crop() -> np.ndarray:
    picture = cv2.resize(cv2.imread(str(PICTURE)), (128, 128), interpolation=cv2.INTER_AREA)[..., ::-1]
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) / 255


def test_the_model_gives_the_mask_of_its_network_and_else_what_it_gave():
    plain = load_estimator()
    masked = plain.with_masks()
    found, before = masked.evidence(crop()), plain.evidence(crop())
    with torch.no_grad():
        mask = load(precision="float32").read(torch.from_numpy(crop())).mask.sigmoid().numpy()
    assert before.mask is None and found.mask.shape == mask.shape == (1, 32, 32)
    assert np.abs(found.mask - mask).mean() < 0.02 and 0.1 < mask.mean() < 0.9
    np.testing.assert_array_equal(found.joints_2d, before.joints_2d)
    for other in (copy.deepcopy(masked), pickle.loads(pickle.dumps(masked))):
        np.testing.assert_array_equal(other.evidence(crop()).mask, found.mask)


def test_hands_are_refined():
    image = cv2.imread(str(PICTURE))[..., ::-1]
    plain, refined = (Predictor(refine=refine)(image) for refine in (False, True))
    assert len(plain) == len(refined) == 1
    moved = 1000 * np.linalg.norm(plain[0].joints - refined[0].joints, axis=-1).mean()
    assert 0.1 < moved < 40
    squares = [(hand.joints_2d.min(0), hand.joints_2d.max(0)) for hand in (plain[0], refined[0])]
    np.testing.assert_allclose(squares[0], squares[1], atol=0.05 * np.ptp(squares[0], axis=0).max())


def test_what_has_no_mask_is_named(tmp_path, capsys):
    with pytest.raises(InputError, match="refine: needs a model on ONNX Runtime"):
        Predictor(precision="float32", refine=True)
    other = load_estimator()
    other.session.model = other.session.model.replace(
        b"/estimator/maps/Conv_output_0", b"/estimator/maps/Conv_output_X"
    )
    with pytest.raises(InputError, match="refine: this model has no mask"):
        OnnxEstimator(other.session, other.config).with_masks()
    assert main(["predict", str(PICTURE), "--depth", "--refine", "--out", str(tmp_path)]) == 2
    assert "--refine: is for pictures" in capsys.readouterr().err
