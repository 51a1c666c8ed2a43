"""Blocks as they are used for inference."""

import copy
import time

import pytest
import torch
from torch import nn

from phalanx.core.errors import InputError
from phalanx.nets import blocks
from phalanx.nets.blocks import (
    ConvUnit,
    Residual,
    can_pack,
    fold_batch_norm,
    inference_precision,
    make_ready,
    pack_convolutions,
)

PRECISIONS = [(torch.float32, 1e-5), (torch.bfloat16, 0.03)]


@pytest.fixture
def asked_anew():
    """What this CPU can do is asked once a process: forgotten before and after a test that answers otherwise."""

    def forget():
        can_pack.cache_clear()
        blocks._faster_packed.cache_clear()

    forget()
    yield
    forget()


def refuse(*dtypes):
    """A stand-in for oneDNN's laying out of weights on a CPU that cannot do some of them."""
    lay_out = torch.ops.mkldnn._reorder_convolution_weight

    def refusing(weight, *rest):
        if weight.dtype in dtypes:
            raise RuntimeError("needs the cpu support avx512")
        return lay_out(weight, *rest)

    return refusing


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_packed_convolutions_compute_the_same(dtype, tolerance):
    if not can_pack(dtype):
        pytest.skip(f"this CPU has no packed convolutions in {dtype}")
    torch.manual_seed(0)
    module = nn.Sequential(
        ConvUnit(3, 8, stride=2), Residual(8, 16, stride=2), ConvUnit(16, 12, kernel=1, activation=False)
    )
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2.0)
    module.eval().requires_grad_(False)
    fold_batch_norm(module)
    small, large = torch.randn(1, 3, 32, 32), torch.randn(3, 3, 64, 48)
    want = [module(x) for x in (small, large)]
    pack_convolutions(module, small, dtype)
    for x, y in zip((small, large), want, strict=True):
        got = module(x.to(dtype))
        assert got.dtype == dtype
        assert (got.float() - y).abs().max() < tolerance * y.abs().max()


def test_where_nothing_can_be_packed_convolutions_stay_as_they_were(monkeypatch, asked_anew):
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_convolution_weight", refuse(torch.float32, torch.bfloat16))
    assert inference_precision() == torch.float32
    module = nn.Sequential(ConvUnit(3, 8), Residual(8, 8)).eval().requires_grad_(False)
    twin = copy.deepcopy(module)
    fold_batch_norm(twin)
    x = torch.randn(2, 3, 16, 16)
    make_ready(module, x, torch.float32)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in module.modules())
    torch.testing.assert_close(module(x), twin(x))
    with pytest.raises(RuntimeError, match="cannot compute in torch.bfloat16"):
        make_ready(nn.Sequential(ConvUnit(3, 8)), x, torch.bfloat16)


def test_bfloat16_that_cannot_be_done_is_never_chosen(monkeypatch, asked_anew):
    """As on CPUs without AVX-512, whose flags and PyTorch's say otherwise."""
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_convolution_weight", refuse(torch.bfloat16))
    assert not can_pack(torch.bfloat16) and can_pack(torch.float32)
    assert inference_precision() == inference_precision("float32") == torch.float32
    with pytest.raises(InputError, match="precision: .* bfloat16 on this CPU"):
        inference_precision("bfloat16")


def test_bfloat16_that_is_emulated_is_not_chosen_unasked(monkeypatch, asked_anew):
    work = blocks._packed_example

    def slow(dtype):
        call = work(torch.float32)
        return (lambda: (time.sleep(0.02), call())) if dtype == torch.bfloat16 else call

    monkeypatch.setattr(blocks, "_packed_example", slow)
    assert inference_precision() == torch.float32 and inference_precision("bfloat16") == torch.bfloat16


def test_the_question_is_asked_once_and_draws_nothing_at_random(monkeypatch, asked_anew):
    state = torch.get_rng_state()
    first = inference_precision()
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr(blocks, "faster_precision", None)
    assert inference_precision() == first


def test_a_module_in_training_is_not_folded():
    with pytest.raises(RuntimeError, match="training mode"):
        fold_batch_norm(ConvUnit(3, 4).train())
