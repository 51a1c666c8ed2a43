import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from phalanx.core.errors import InputError
from phalanx.nets.blocks import ConvUnit, fold_batch_norm
from phalanx.nets.export import export_onnx
from phalanx.nets.model_files import KEY, about_model, metadata, read_model, write_model

onnx = pytest.importorskip("onnx")


class Small(nn.Module):
    """Two outputs of pictures (B, 3, 16, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = ConvUnit(3, 16), ConvUnit(16, 16)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = self.second(self.first(images))
        return maps, maps.mean((2, 3))


@pytest.fixture(scope="module")
def network() -> Small:
    torch.manual_seed(0)
    made = Small()
    with torch.no_grad():
        made.train()(torch.rand(8, 3, 16, 16))
    made.eval().requires_grad_(False)
    fold_batch_norm(made)
    return made


@pytest.fixture(scope="module")
def path(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    export_onnx(
        network, path, torch.zeros(2, 3, 16, 16), ("maps", "means"), "small", {"size": 16}, "a hand", {"data": 1}
    )
    return path


def computed(path, images: torch.Tensor) -> list[np.ndarray]:
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(str(path)).run(None, {"images": images.numpy()})


def test_what_the_file_says_of_itself(path):
    model = onnx.load_from_string(read_model(path))
    (entry,) = model.metadata_props
    about = about_model(path, entry.value, "small", "a hand")
    assert entry.key == KEY and about["config"] == {"size": 16} and about["card"] == {"data": 1}
    assert about["precision"] == "float32" and len(about["seal"]) == 64


@pytest.mark.parametrize("batch", [1, 3])
def test_float32_is_what_the_network_computes(network, path, batch):
    images = torch.rand(batch, 3, 16, 16)
    for found, wanted in zip(computed(path, images), network(images), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_float16_halves_the_file(network, path, tmp_path):
    export_onnx(
        network, tmp_path / "half.onnx", torch.zeros(2, 3, 16, 16), ("maps", "means"), "", {}, "", None, "float16"
    )
    saved = path.stat().st_size - (tmp_path / "half.onnx").stat().st_size
    assert saved > 2 * 16 * 16 * 9 - 700  # of the second convolution's weights, less what says so
    images = torch.rand(1, 3, 16, 16)
    for found, wanted in zip(computed(tmp_path / "half.onnx", images), network(images), strict=True):
        assert 0 < np.abs(found - wanted.numpy()).max() < 1e-2


def test_other_ways_are_named(network, tmp_path):
    with pytest.raises(InputError, match="stored: must be 'float32', 'float16' or 'int8', not 'int4'"):
        export_onnx(network, tmp_path / "a.onnx", torch.zeros(1, 3, 16, 16), ("a", "b"), "", {}, "", None, "int4")


def spoilt() -> Iterator[tuple[str, object, str]]:
    """Ways to spoil a file, and what is said of it."""
    yield "missing", None, "no such weights file"
    yield "empty", lambda whole: b"", "the file is empty"
    yield "cut", lambda whole: whole[: len(whole) // 2], "cut short, or not a model of this project"
    yield "text", lambda whole: b"not a model", "cut short, or not a model of this project"
    yield "flipped", lambda whole: whole[:900] + bytes([whole[900] ^ 1]) + whole[901:], "damaged .checksum differs"
    yield "longer", lambda whole: whole + b"\0", "damaged .checksum differs"


@pytest.mark.parametrize(("change", "says"), [case[1:] for case in spoilt()], ids=[case[0] for case in spoilt()])
def test_bad_files_are_refused_in_one_sentence(path, tmp_path, change, says):
    bad = tmp_path / "bad.onnx"
    if change is not None:
        bad.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=says) as caught:
        read_model(bad)
    assert str(bad) in str(caught.value) and "\n" not in str(caught.value)


def test_what_a_model_is_of_is_checked():
    text = metadata("compact", {}, "a hand", "int8")
    assert about_model("a.onnx", text, None, None)["method"] == "compact"
    for change, says in (
        ({"format": 9}, "a.onnx: model of format 9, this version reads 1"),
        ({"method": "spheres"}, "a.onnx: weights of spheres, not of compact"),
        ({"hand": "b"}, "a.onnx: .* trained for another hand"),
        ({"config": 3}, "a.onnx: not a model of this project"),
    ):
        with pytest.raises(InputError, match=says):
            about_model("a.onnx", json.dumps(json.loads(text) | change), "compact", "a hand")
    with pytest.raises(InputError, match="not a model"):
        about_model("a.onnx", "", None, None)


def test_a_seal_is_needed(tmp_path):
    with pytest.raises(ValueError, match="seal"):
        write_model(tmp_path / "a.onnx", b"nothing")
