"""The command as a user meets it: exit codes, sentences, files. The network is a tiny untrained one."""

import numpy as np
import pytest
from PIL import Image

from phalanx.cli import main


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A weights file of a network that has learnt nothing."""
    import torch

    from phalanx.hand.model import HandModel
    from phalanx.methods.compact import CompactConfig, CompactEstimator, save_weights

    torch.manual_seed(0)
    config = CompactConfig(size=64, widths=(8, 8, 8, 8), depths=(0, 1, 1, 1), top_down=(8, 8, 8), hidden=8)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(CompactEstimator(config), path, HandModel.open_hand())
    return path


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def run(tmp_path, capsys, weights):
    """Runs the command in this process, with results in tmp_path/out: exit code, lines on stdout, lines on stderr."""

    def call(*arguments, verb="predict"):
        options = ["--weights", str(weights), "--out", str(tmp_path / "out")] if verb == "predict" else []
        code = main([verb, *options, *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return call
