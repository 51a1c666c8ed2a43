"""TASSN's equations against slow twins, its two orders, who moves in which stage, and what holds it and what does not."""

from dataclasses import replace

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.mixture import Mixture
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import BONES
from phalanx.losses.latent_depth import PEAK, SIGMA, label_maps
from phalanx.losses.temporal import both_ways
from phalanx.methods.temporal import (
    SYNTHESIS,
    TARGET,
    Clips,
    Reading,
    Temporal,
    TemporalConfig,
    TemporalWeights,
    before_wrist,
    in_metres,
    joined,
    load,
    mean_lengths,
    placed,
    projection_error,
    save_weights,
)

TINY = TemporalConfig(
    size=64, width=8, stacks=2, halvings=1, latent=16, mesh=(4, 4, 4, 4), reader=4, hidden=8, order=1, window=3
)
FRAMES = 3


@pytest.fixture(scope="module")
def hand():
    return HandModel.open_hand()


@pytest.fixture
def network(hand):
    torch.manual_seed(0)
    network = Temporal(TINY, hand).eval()  # batch statistics stand still
    torch.nn.init.normal_(network.surface.surface.weight, std=0.5)  # a mesh that covers pixels: a point has no outline
    return network


def clips_of(hand, count=2, labels=False, seed=0):
    """Clips of the hand at rest, moved and turned a little from frame to frame, before a camera; pictures mean nothing."""
    random = torch.Generator().manual_seed(seed)
    K = torch.tensor([[90.0, 0, 31.5], [0, 90.0, 31.5], [0, 0, 1]]).expand(count, FRAMES, 3, 3)
    angle = 0.4 * torch.rand(count, FRAMES, generator=random) + 2.6
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = (cosine, zero, sine, zero, -zero - 1, zero, sine, zero, -cosine)
    turn = torch.stack(rows, -1).unflatten(-1, (3, 3))
    root = torch.tensor([0.0, 0.06, 0.4]) + 0.01 * torch.rand(count, FRAMES, 1, 3, generator=random)
    relative = hand.rest_joints.float() @ turn.mT
    joints = relative + root
    pixels = joints @ K.mT
    scale = (relative[:, :, 9] - relative[:, :, 10]).norm(dim=-1)
    clips = Clips(
        torch.rand(count, FRAMES, 3, 64, 64, generator=random),
        torch.randn(count, FRAMES - 1, 2, 64, 64, generator=random),
        torch.randn(count, FRAMES - 1, 2, 64, 64, generator=random),
        pixels[..., :2] / pixels[..., 2:],
        K,
        root[:, :, 0, 2],
        scale,
        torch.rand(count, FRAMES, 64, 64, generator=random),
    )
    pose = relative / scale[..., None, None]
    mesh = hand.template.float() @ turn.mT / scale[..., None, None]
    return replace(clips, pose=pose, mesh=mesh) if labels else replace(clips, silhouettes=clips.silhouettes), pose, mesh


@pytest.fixture
def clips(hand):
    return clips_of(hand)[0]


def test_the_objective_is_equation_4_6(network, clips):
    torch.manual_seed(3)
    terms = network.losses(clips)
    torch.manual_seed(3)
    order = int(torch.rand(()) < 0.5)
    forward, backward = network.read_both(clips)
    assert set(terms) == {"heat_maps", "silhouette", "pose_consistency", "mesh_consistency"}
    heat = 0.0
    points = (clips.joints_2d + 0.5) / 64
    for reading in (forward, backward):
        for maps in reading.heat:
            labels = label_maps(points.flatten(0, 1), 16, 16, SIGMA, PEAK).unflatten(0, (2, FRAMES))
            heat += float((maps.detach() - labels).square().sum()) / (2 * 2 * 2 * FRAMES * 21)  # Eq. 4.1
    assert float(terms["heat_maps"].detach()) == pytest.approx(heat, rel=1e-4)
    mask = network.masks((forward, backward)[order].mesh, clips).detach()
    seen = before_wrist(clips.joints_2d, 64)
    off = float((seen * (mask - clips.silhouettes)).square().sum()) / (2 * FRAMES * 64**2)  # Eq. 4.2
    assert float(terms["silhouette"].detach()) == pytest.approx(0.1 * off, rel=1e-4)
    for name, one, other in (
        ("pose_consistency", forward.pose, backward.pose),
        ("mesh_consistency", forward.mesh, backward.mesh),
    ):
        apart = sum(float((a - b).detach().square().sum()) for a, b in zip(one[0], other[0], strict=True))
        apart += sum(float((a - b).detach().square().sum()) for a, b in zip(one[1], other[1], strict=True))
        wanted = 10 * apart / (2 * FRAMES * one.shape[2])  # Eq. 4.3 and 4.4
        assert float(terms[name].detach()) == pytest.approx(wanted, rel=1e-3)


def test_backward_is_forward_of_the_reversed_clip(network, clips):
    reversed_clips = replace(
        clips, images=clips.images.flip(1), forward=clips.backward.flip(1), backward=clips.forward.flip(1)
    )
    forward, backward = network.read_both(clips)
    other_forward, other_backward = network.read_both(reversed_clips)
    torch.testing.assert_close(other_forward.pose.flip(1), backward.pose)
    torch.testing.assert_close(other_backward.mesh.flip(1), forward.mesh)
    torch.testing.assert_close(other_backward.heat[1].flip(1), forward.heat[1])
    assert not torch.allclose(forward.heat[1][:, 1], backward.heat[1][:, 1])


def test_a_frame_sees_those_before_it_alone(network, clips):
    found = network.read(clips.images, clips.forward)
    changed = clips.images.clone()
    changed[:, 2] = 0.5
    other = network.read(changed, clips.forward)
    torch.testing.assert_close(other.heat[1][:, :2], found.heat[1][:, :2])
    changed = clips.images.clone()
    changed[:, 0] = 0.5  # comes in by its heat maps
    assert not torch.allclose(network.read(changed, clips.forward).heat[1][:, 1], found.heat[1][:, 1])
    moved = network.read(clips.images, clips.forward + 1)
    torch.testing.assert_close(moved.heat[1][:, 0], found.heat[1][:, 0])
    assert not torch.allclose(moved.heat[1][:, 1], found.heat[1][:, 1])


@pytest.mark.parametrize(
    ("players", "moved"),
    [
        ("players_of_mesh", {"evidence", "trunk", "surface"}),
        ("players", {"evidence", "trunk", "surface", "reader"}),
    ],
)
def test_stages_move_what_is_theirs(network, clips, players, moved):
    (player,) = getattr(network.train(), players)()
    names = {id(p): name for name, p in network.named_parameters()}
    assert {names[id(p)].split(".")[0] for p in player.parameters} == moved
    sum(player.losses(clips).values()).backward()
    reached = {n.split(".")[0] for n, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == moved


def test_the_start_learns_3d_of_synthesis_and_heat_maps_of_all(network, hand, clips):
    labelled = clips_of(hand, labels=True, seed=1)[0]
    (player,) = network.players_of_start()
    torch.manual_seed(0)
    terms = player.losses(Mixture({TARGET: clips, SYNTHESIS: labelled}))
    torch.manual_seed(0)
    forward = bool(torch.rand(()) < 0.5)
    reading = network.read_both(labelled)[0 if forward else 1]
    assert float(terms["pose"].detach()) == pytest.approx(
        float(both_ways(reading.pose, labelled.pose).detach()), rel=1e-3
    )
    assert float(terms["mesh"].detach()) == pytest.approx(
        float(both_ways(reading.mesh, labelled.mesh).detach()), rel=1e-3
    )
    (player,) = network.players_of_evidence()
    assert set(player.losses(Mixture({TARGET: clips, SYNTHESIS: labelled}))) == {"heat_maps"}
    assert set(network.label_losses(labelled)) == {"heat_maps", "pose", "mesh"}
    assert len(joined(clips, labelled)) == 4 and joined(clips, labelled).pose is None


def test_nothing_but_consistency_tells_what_a_pose_is(network, clips):
    """Print's row without L_c has no term for the pose; with it, a point is as good as a hand."""
    plain = TemporalWeights(pose_consistency=0, mesh_consistency=0)
    network.config = replace(TINY, weights=plain)
    sum(network.losses(clips).values()).backward()
    assert all(p.grad is None for p in network.reader.parameters())
    assert any(p.grad.any() for p in network.surface.parameters())  # the silhouette's


def test_flat_and_constant_hands_are_consistent_and_options_tell_them_from_hands(network, hand):
    """What print's terms do not see, depth, and what those beyond print do."""
    clips, pose, mesh = clips_of(hand)
    flat_pose, flat_mesh = (points * torch.tensor([1.0, 1.0, 0.0]) for points in (pose, mesh))
    mask = network.masks(mesh, clips)
    assert both_ways(flat_pose, flat_pose).item() == both_ways(flat_mesh, flat_mesh).item() == 0  # Eq. 4.3 and 4.4
    apart = (network.masks(flat_mesh, clips) - mask).square().mean().item()
    moved = (network.masks(mesh + torch.tensor([0.5, 0.0, 0.0]), clips) - mask).square().mean().item()
    assert apart < 0.2 * moved  # Eq. 4.2 hardly sees that the hand is flat, but half a bone's way in the picture
    network.config = replace(TINY, weights=TemporalWeights(project=1.0, bones=1.0, prior=1.0))
    cost = {}
    for name, said in (("hand", pose), ("flat", flat_pose), ("point", torch.zeros_like(pose))):
        reading = Reading([], mesh, said)
        cost[name] = {k: v.item() for k, v in network._beyond_print((reading, reading), clips).items()}
    assert cost["hand"]["project"] < 1e-6 and cost["hand"]["bones"] < 1e-6 and cost["hand"]["prior"] < 1.5
    assert cost["flat"]["bones"] > 1e-3 and cost["point"]["bones"] > 0.5
    assert cost["point"]["project"] > 1.0 > 20 * cost["flat"]["project"]
    assert cost["point"]["prior"] > 5 * cost["hand"]["prior"]


def test_options_are_off_by_default_and_reach_the_pose(network, clips):
    assert TemporalWeights() == TemporalWeights(1.0, 0.1, 10.0, 10.0, 0.0, 0.0, 0.0)
    network.config = replace(TINY, weights=TemporalWeights(0, 0, 0, 0, project=1.0, bones=1.0, prior=1.0))
    terms = network.losses(clips)
    assert {"project", "bones", "prior"} < set(terms)
    for name in ("project", "bones", "prior"):
        network.zero_grad()
        terms[name].backward(retain_graph=True)
        assert all(p.grad.any() for p in network.reader.parameters()), name


def test_true_poses_and_maps_give_the_true_joints(hand):
    clips, pose, mesh = clips_of(hand)
    maps = label_maps(((clips.joints_2d + 0.5) / 64).flatten(0, 1), 16, 16).unflatten(0, (2, FRAMES))
    joints = in_metres(Reading([maps], mesh, pose), clips)
    wanted = pose * clips.scale[..., None, None] + clips.roots()[:, :, None]
    torch.testing.assert_close(joints, wanted, atol=5e-4, rtol=0)
    pixels = joints @ clips.K.mT
    torch.testing.assert_close(pixels[..., :2] / pixels[..., 2:], clips.joints_2d, atol=0.1, rtol=0)
    assert projection_error(pose, clips).item() < 1e-8
    one = placed(torch.tensor([[[31.5, 31.5]]]), clips.K[:1, :1], torch.tensor([[0.4]]))
    torch.testing.assert_close(one, torch.tensor([[[0.0, 0.0, 0.4]]]))


def test_lengths_are_the_average_hands(hand):
    lengths = mean_lengths(hand)
    assert lengths[BONES.index((9, 10))] == 1 and 0.3 < lengths.min() < lengths.max() < 3


def test_pixels_behind_the_wrist():
    joints = torch.zeros(21, 2) + torch.tensor([32.0, 32.0])
    joints[9] += torch.tensor([0.0, -20.0])  # fingers point up
    seen = before_wrist(joints, 64)
    assert seen[:33].all() and not seen[33:].any()
    joints[9] = joints[0] + 1
    joints[8] += 30.0
    assert before_wrist(joints, 64).all()  # the palm is seen from its end


def test_weights_come_back(network, clips, hand, tmp_path):
    save_weights(network, tmp_path / "a.safetensors", hand)
    again = load(tmp_path / "a.safetensors", hand)
    torch.testing.assert_close(again(clips), network(clips), atol=1e-4, rtol=1e-3)
    assert load(tmp_path / "a.safetensors", trainable=True).reader.linear[0].weight.requires_grad


def test_bad_settings_and_clips(network, clips):
    with pytest.raises(InputError, match="multiple of 32"):
        TemporalConfig(size=72)
    with pytest.raises(InputError, match="window: consistency needs 2"):
        TemporalConfig(window=1)
    with pytest.raises(InputError, match="silhouettes"):
        network.losses(replace(clips, silhouettes=None))
