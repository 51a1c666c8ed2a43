import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.nets.pose_vae import FLOOR, PoseVAE, divergence


def chains(bends: torch.Tensor) -> torch.Tensor:
    """Toy hands (B, 8, 3), metres: a stiff palm of four points and a finger of four whose three bends are one number (B,)."""
    palm = torch.tensor([[-0.03, 0.0, 0.0], [0.03, 0.0, 0.0], [-0.03, 0.08, 0.0], [0.03, 0.08, 0.005]])
    tip = torch.tensor([0.0, 0.09, 0.0]).expand(len(bends), 3)
    points = [*palm[:, None].expand(-1, len(bends), 3)]
    for joint in range(4):
        angle = bends * joint
        points.append(tip)
        tip = tip + 0.03 * torch.stack((0 * angle, angle.cos(), angle.sin()), dim=1)
    return torch.stack(points, dim=1)


PALM = (0, 1, 2, 3)


def small(dtype: torch.dtype = torch.float64) -> PoseVAE:
    torch.manual_seed(0)
    return PoseVAE(chains(torch.zeros(1))[0], PALM, latent=3, hidden=12).to(dtype)


@pytest.fixture(scope="module")
def trained() -> PoseVAE:
    """Seconds of training on bends between straight and bent by 1 rad a joint."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    vae = PoseVAE(chains(torch.zeros(1))[0], PALM, latent=4, hidden=48)
    descent = torch.optim.Adam(vae.parameters(), lr=4e-3)
    for _ in range(500):
        descent.zero_grad()
        vae.training_loss(chains(torch.rand(128, generator=generator)), generator).backward()
        descent.step()
    vae.zero_grad()
    return vae.requires_grad_(False)


def turned(points: torch.Tensor) -> torch.Tensor:
    """Each hand somewhere else, seen from somewhere else."""
    generator = torch.Generator().manual_seed(5)
    turn = rotvec_to_rotmat(2 * torch.randn(len(points), 3, generator=generator, dtype=points.dtype))
    return points @ turn.mT + torch.randn(len(points), 1, 3, generator=generator, dtype=points.dtype)


def test_shapes():
    vae = small()
    points = torch.randn(5, 8, 3, dtype=torch.float64)
    assert [one.shape for one in vae.encode(points)] == [(5, 3), (5, 3)]
    assert vae.decode(torch.randn(2, 5, 3).double()).shape == (2, 5, 8, 3)
    assert vae.elbo(points, torch.randn(2, 5, 3).double()).shape == (5,)
    assert vae.training_loss(points).shape == ()
    with pytest.raises(ValueError, match="template must be"):
        PoseVAE(torch.zeros(8, 2))
    with pytest.raises(ValueError, match="at least 3 anchors, got 2"):
        PoseVAE(torch.zeros(8, 3), (0, 1))


def test_divergence_agrees_with_torch():
    mean, log_variance = torch.randn(2, 6, 4, dtype=torch.float64)
    normal = Normal(mean, (0.5 * log_variance).exp())
    want = kl_divergence(Independent(normal, 1), Independent(Normal(torch.zeros_like(mean), 1.0), 1))
    torch.testing.assert_close(divergence(mean, log_variance), want)


def test_the_bound_agrees_with_draws_and_lies_below_the_likelihood():
    """E_Q[log P(x|z) + log P(z) - log Q(z)] by torch.distributions, term by term; its log-mean-exp is the likelihood."""
    vae = small().requires_grad_(False)
    points = turned(chains(torch.tensor([0.1, 0.9]))).double()
    generator = torch.Generator().manual_seed(0)
    bound = vae.elbo(points, torch.randn(20000, 2, 3, generator=generator, dtype=torch.float64))
    torch.manual_seed(1)
    mean, log_variance = vae.encode(points)
    posterior = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    draws = posterior.sample((20000,))
    likelihood = Independent(Normal(vae.decode(draws), vae.spread()[:, None]), 2).log_prob(vae.canonical(points))
    prior = Independent(Normal(torch.zeros_like(mean), 1.0), 1).log_prob(draws)
    terms = likelihood + prior - posterior.log_prob(draws)  # (20000, 2)
    error = terms.std(dim=0) / 20000**0.5
    assert ((bound - terms.mean(dim=0)).abs() < 6 * error).all()
    evidence = torch.logsumexp(terms, dim=0) - torch.log(torch.tensor(20000.0))
    assert (evidence > bound).all()


def test_where_a_hand_is_and_how_it_is_seen_do_not_matter_but_its_side_and_size_do(trained):
    points = chains(torch.linspace(0.3, 0.9, 5))
    noise = torch.zeros(1, 5, 4)
    bound = trained.elbo(points, noise)
    torch.testing.assert_close(trained.elbo(turned(points), noise), bound, atol=0.5, rtol=0)
    assert (trained.elbo(points * torch.tensor([1.0, 1.0, -1.0]), noise) < bound - 50).all()  # bent backwards
    assert (trained.elbo(1.2 * points, noise) < bound - 50).all()


def test_canonical_points_are_the_template_moved():
    vae = small()
    template = vae.template.expand(6, 8, 3)
    torch.testing.assert_close(vae.canonical(turned(template)), template, atol=1e-5, rtol=0)
    assert float(vae.template[list(PALM)].mean(dim=0).abs().max()) < 1e-8


def test_points_off_the_subspace_have_a_lower_bound(trained):
    generator = torch.Generator().manual_seed(2)
    points = turned(chains(torch.linspace(0.1, 0.9, 9)))
    noise = torch.zeros(1, 9, 4)
    bound = trained.elbo(points, noise)
    before = bound
    for spread in (0.003, 0.01, 0.03):
        off = trained.elbo(points + spread * torch.randn(9, 8, 3, generator=generator), noise)
        assert (off < before).all()
        before = off
    stretched = points.clone()
    stretched[:, -1] += 0.5 * (points[:, -1] - points[:, -2])
    assert (trained.elbo(stretched, noise) < bound - 5).all()


def test_reconstructions_are_close(trained):
    points = chains(torch.linspace(0.0, 1.0, 9))
    mean, _ = trained.encode(turned(points))
    distance = (trained.decode(mean) - trained.canonical(points)).norm(dim=-1)
    assert float(distance.mean()) < 0.002
    assert FLOOR < float(trained.spread().min()) < float(trained.spread().max()) < 0.004


def test_a_frozen_prior_draws_points_to_the_subspace(trained):
    generator = torch.Generator().manual_seed(3)
    clean = turned(chains(torch.linspace(0.2, 0.8, 5)))
    points = (clean + 0.008 * torch.randn(5, 8, 3, generator=generator)).requires_grad_()
    noise = torch.zeros(1, 5, 4)

    def distance() -> float:
        """From the nearest toy hand, of any bend."""
        every = trained.canonical(chains(torch.linspace(0, 1, 200)))  # (200, 8, 3)
        gaps = (trained.canonical(points.detach())[:, None] - every).square().sum(dim=-1).mean(dim=-1).sqrt()
        return float(gaps.min(dim=1).values.mean())

    start = distance()
    descent = torch.optim.Adam([points], lr=5e-4)
    for _ in range(60):
        descent.zero_grad()
        (-trained.elbo(points, noise).sum()).backward()
        descent.step()
    assert all(weight.grad is None for weight in trained.parameters())
    assert distance() < 0.5 * start


def test_gradients():
    vae = small().requires_grad_(False)
    points = turned(chains(torch.tensor([0.4, 0.8]))).double()
    points = (points + 0.01 * torch.randn_like(points)).requires_grad_()
    noise = torch.randn(2, 2, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: vae.elbo(x, noise) / 100, points)


def test_points_all_in_one_place_have_finite_gradients():
    vae = small()
    points = torch.zeros(1, 8, 3, dtype=torch.float64, requires_grad=True)
    bound = vae.elbo(points, torch.zeros(1, 1, 3).double())
    bound.sum().backward()
    assert bound.isfinite().all() and points.grad is not None and points.grad.isfinite().all()
    far = vae.elbo(100 * torch.randn(1, 8, 3, dtype=torch.float64), torch.zeros(1, 1, 3).double())
    assert far.isfinite().all()


def test_the_same_generator_gives_the_same_loss():
    vae = small().requires_grad_(False)
    points = chains(torch.rand(4)).double()
    first, second = (float(vae.training_loss(points, torch.Generator().manual_seed(7))) for _ in range(2))
    assert first == second != float(vae.training_loss(points, torch.Generator().manual_seed(8)))
    noise = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    assert first == pytest.approx(-float(vae.elbo(points, noise).mean()) / 24)


def test_the_frame_is_kept_with_the_weights():
    vae = small()
    same = PoseVAE(torch.zeros(8, 3), PALM, latent=3, hidden=12).double()
    same.load_state_dict(vae.state_dict())
    points = chains(torch.rand(2)).double()
    noise = torch.zeros(1, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(same.elbo(points, noise), vae.elbo(points, noise))
