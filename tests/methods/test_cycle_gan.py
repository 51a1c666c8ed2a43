import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.mixture import Mixture
from phalanx.data.sample import Sample
from phalanx.methods.cycle_gan import REAL, RENDERED, CycleConfig, CycleGan, load, save_weights

CONFIG = CycleConfig(size=32, generator=4, discriminator=4)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return CycleGan(CONFIG)


def batch():
    random = torch.Generator().manual_seed(0)
    images = [torch.rand(4, 3, 32, 32, generator=random) for _ in range(2)]
    return Mixture({REAL: Sample(image=images[0]), RENDERED: Sample(image=images[1])}), *images


def test_losses_are_the_equations(network):
    network.eval().requires_grad_(False)
    both, real, rendered = batch()
    drawn, plain = network.forth(rendered), network.back(real)
    expected = -(
        network.judge_real(real).sigmoid().log().mean() + (1 - network.judge_real(drawn).sigmoid()).log().mean()
    )
    terms = network.discriminator_losses(both)
    assert float(terms["real"]) == pytest.approx(float(expected), rel=1e-4)
    expected = -(
        network.judge_rendered(rendered).sigmoid().log().mean()
        + (1 - network.judge_rendered(plain).sigmoid()).log().mean()
    )
    assert float(terms["rendered"]) == pytest.approx(float(expected), rel=1e-4)
    terms = network.generator_losses(both)
    round_trips = (network.back(drawn) - rendered).abs().mean() + (network.forth(plain) - real).abs().mean()
    assert float(terms["cycle"]) == pytest.approx(10 * float(round_trips), rel=1e-5)
    fooled = -(network.judge_real(drawn).sigmoid().log().mean() + network.judge_rendered(plain).sigmoid().log().mean())
    assert float(terms["fooled"]) == pytest.approx(float(fooled), rel=1e-4)


def test_generators_that_undo_each_other_have_no_cycle_loss(network, monkeypatch):
    both, *_ = batch()
    monkeypatch.setattr(network, "forth", torch.nn.Identity())
    monkeypatch.setattr(network, "back", torch.nn.Identity())
    assert float(network.generator_losses(both)["cycle"].detach()) == 0


def test_judged_are_photographs_and_what_rendered_pictures_become(network):
    network.eval()
    _, real, rendered = batch()
    of_real, of_drawn = network.judged(real, rendered, torch.Generator())
    assert torch.equal(of_real, network.judge_real(real))
    assert torch.equal(of_drawn, network.judge_real(network.forth(rendered)))


def test_each_player_moves_its_own_networks(network):
    both, *_ = batch()
    for player in network.players():
        network.zero_grad()
        sum(player.losses(both).values()).backward()
        own = {id(parameter) for parameter in player.parameters}
        moved = {id(p) for p in network.parameters() if p.grad is not None and p.grad.any()}
        assert own <= moved, player.name
        if player.name == "discriminators":
            assert moved == own
    moved_by_all = [id(p) for player in network.players() for p in player.parameters]
    assert sorted(moved_by_all) == sorted(id(p) for p in network.parameters())  # each by one player


def test_blending_draws_nothing_at_random_and_files_come_back(network, tmp_path):
    network.eval()
    image = batch()[2]
    assert torch.equal(network.blend(image), network.blend(image, torch.Generator().manual_seed(3)))
    assert torch.equal(network.blend(image), network.forth(image)) and not network.blend(image).requires_grad
    with pytest.raises(ValueError, match="blend: pictures of 32 pixels expected, not \\(64, 64\\)"):
        network.blend(torch.rand(1, 3, 64, 64))
    save_weights(network, tmp_path / "w.safetensors")
    torch.testing.assert_close(load(tmp_path / "w.safetensors").blend(image), network.blend(image), atol=5e-3, rtol=0)
    assert load(tmp_path / "w.safetensors", trainable=True).training
    (tmp_path / "w.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match=r"w\.safetensors"):
        load(tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="32, 64, 128"):
        CycleConfig(size=100)
