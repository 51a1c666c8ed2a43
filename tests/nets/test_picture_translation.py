import math

import pytest
import torch

from phalanx.nets.picture_translation import (
    DepthDiscriminator,
    DepthGenerator,
    PictureGenerator,
    real_or_drawn,
    taken_for_real,
)


@pytest.mark.parametrize("size", [32, 64])
def test_a_picture_becomes_a_map_of_its_size(size):
    torch.manual_seed(0)
    generator = DepthGenerator(size, 4)
    images = torch.rand(3, 3, size, size)
    maps = generator(images)
    assert maps.shape == (3, size, size) and bool(((maps > 0) & (maps < 1)).all())
    maps.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in generator.parameters())
    generator.eval()
    assert torch.allclose(generator(images)[:1], generator(images[:1]), atol=1e-6)
    with pytest.raises(ValueError, match="a size of 16, 32, 64, ... expected, not 48"):
        DepthGenerator(48, 4)


def test_skips_carry_the_picture_past_the_narrowest_layer():
    torch.manual_seed(0)
    generator = DepthGenerator(64, 4).eval()
    images = torch.rand(1, 3, 64, 64)
    before = generator(images).detach()
    with torch.no_grad():
        for parameter in generator.down[-1].parameters():
            parameter.zero_()
    after = generator(images).detach()
    assert float(after.std()) > 0 and not torch.equal(before, after)


def test_a_judgement_hangs_on_a_patch():
    torch.manual_seed(0)
    # Means over a whole map, which reach beyond a patch, stand still in evaluation
    discriminator = DepthDiscriminator(4)
    layers = torch.nn.Sequential(*(layer for layer in discriminator.layers))
    for layer in layers:
        for number, part in enumerate(layer if isinstance(layer, torch.nn.Sequential) else []):
            if isinstance(part, torch.nn.InstanceNorm2d):
                layer[number] = torch.nn.Identity()
    maps = torch.rand(1, 128, 128, requires_grad=True)
    judged = discriminator(maps)
    assert judged.shape == (1, 14, 14)
    judged[0, 7, 7].backward()
    assert maps.grad is not None
    rows, columns = maps.grad[0].abs().sum(1).nonzero(), maps.grad[0].abs().sum(0).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 54 and int(columns.max() - columns.min()) + 1 == 54


def test_losses_are_equation_3_2():
    real, drawn = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.5, -3.0]])

    def probability(logit):
        return 1 / (1 + math.exp(-logit))

    expected = sum(math.log(probability(value)) for value in (2.0, -1.0)) / 2
    expected += sum(math.log(1 - probability(value)) for value in (0.5, -3.0)) / 2
    assert float(real_or_drawn(real, drawn)) == pytest.approx(-expected, rel=1e-5)
    fooled = -sum(math.log(probability(value)) for value in (0.5, -3.0)) / 2
    assert float(taken_for_real(drawn)) == pytest.approx(fooled, rel=1e-5)
    sure = torch.full((1, 2), -30.0, requires_grad=True)  # log(1 - D) has no gradient left there
    taken_for_real(sure).backward()
    assert sure.grad is not None and float(sure.grad.abs().min()) > 0.4


def test_pictures_are_drawn_as_changes_of_another():
    torch.manual_seed(0)
    generator = PictureGenerator(32, 4, inputs=2).eval()
    maps, base = torch.rand(2, 2, 32, 32), torch.rand(2, 3, 32, 32)
    drawn = torch.logit(generator(maps).double())
    changed = torch.logit(generator(maps, None, base).double())
    inside = (base > 0.05) & (base < 0.95)
    torch.testing.assert_close((changed - drawn)[inside], torch.logit(base.double())[inside], atol=1e-3, rtol=0)
    for whole in (torch.zeros(2, 3, 32, 32), torch.ones(2, 3, 32, 32)):
        assert generator(maps, None, whole).isfinite().all()


def test_the_last_layer_sees_the_maps():
    torch.manual_seed(0)
    generator = PictureGenerator(32, 4, inputs=2).eval()
    with torch.no_grad():
        for up in generator.up:
            for parameter in up.parameters():
                parameter.zero_()
    maps = torch.rand(1, 2, 32, 32)
    assert float(generator(maps).detach().std(dim=(2, 3)).min()) > 1e-3
