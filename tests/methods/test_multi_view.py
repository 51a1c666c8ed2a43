"""MVHM's equations against slow twins, who moves in which stage, and what absent views do."""

from dataclasses import replace

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.mixture import Mixture
from phalanx.data.sample import Sample
from phalanx.geometry.camera import Camera
from phalanx.hand.model import HandModel
from phalanx.losses.latent_depth import PEAK, SIGMA, label_maps
from phalanx.methods.multi_view import (
    JOINTS,
    MESHES,
    MultiView,
    MultiViewConfig,
    MultiViewWeights,
    Reading,
    Views,
    depths_of,
    in_metres,
    joints_2d_of,
    load,
    mesh_of,
    save_weights,
    to_cameras,
    to_world,
)
from phalanx.synth.scene.rigs import ring

TINY = MultiViewConfig(
    size=64, width=8, stacks=2, halvings=1, latent=16, mesh=(4, 4, 4, 4), reader=4, hidden=8, views=3, fusion=16
)
WEIGHTS = MultiViewWeights(heat_maps=0.2, mesh=1.1, depth=0.7, pose=1.3)


@pytest.fixture(scope="module")
def hand():
    return HandModel.open_hand()


@pytest.fixture
def network(hand):
    torch.manual_seed(0)
    return MultiView(replace(TINY, weights=WEIGHTS), hand).eval()  # batch statistics stand still


def sample_of(count=3, vertices=False, seed=0):
    random = torch.Generator().manual_seed(seed)
    joints = torch.rand(count, 21, 3, generator=random) * 0.1 + 0.5
    return Sample(
        image=torch.rand(count, 3, 64, 64, generator=random),
        joints=joints,
        joints_2d=4 + 56 * torch.rand(count, 21, 2, generator=random),
        vertices=joints[:, :1] + 0.1 * torch.randn(count, 1769, 3, generator=random) if vertices else None,
    )


@pytest.fixture
def batch():
    return Mixture({JOINTS: sample_of(3), MESHES: sample_of(2, True, 1)})


def views_of(frames=4, cameras=3, noise=0.01, seed=0):
    random = torch.Generator().manual_seed(seed)
    rig = ring(cameras)
    placed = torch.from_numpy(rig.world_to_camera).float().expand(frames, -1, -1, -1)
    joints = 0.08 * torch.randn(frames, 21, 3, generator=random)
    said = joints[:, None] + noise * torch.randn(frames, cameras, 21, 3, generator=random)
    K = torch.from_numpy(rig.K).float().expand(frames, -1, -1, -1)
    return Views(joints, placed, K, torch.rand(frames, cameras, 3, 64, 64, generator=random), said)


def test_losses_are_the_equations(network, batch):
    terms = network.single_losses(batch)
    both = [batch.get(JOINTS), batch.get(MESHES)]
    images = torch.cat([sample.image for sample in both])
    reading = network.single(images)
    points = torch.cat([joints_2d_of(sample) for sample in both])
    heat = 0.0
    for maps in reading.heat:  # Eq. 5.1: 1 / (S K) of sums over cells
        for picture in range(5):
            for joint in range(21):
                label = label_maps(points[picture : picture + 1, joint : joint + 1], 16, 16, SIGMA, PEAK)[0, 0]
                heat += float((maps[picture, joint].detach() - label).square().sum()) / (2 * 21 * 5)
    assert float(terms["heat_maps"].detach()) == pytest.approx(0.2 * heat, rel=1e-4)
    meshes = batch.get(MESHES)
    scale = (meshes.joints[:, 9] - meshes.joints[:, 10]).norm(dim=-1)
    mesh = 0.0
    for picture in range(2):  # Eq. 5.5
        truth = (meshes.vertices[picture] - meshes.joints[picture, 0]) / scale[picture]
        mesh += float((reading.mesh[3 + picture].detach() - truth).square().sum()) / 1769 / 2
    assert float(terms["mesh"].detach()) == pytest.approx(1.1 * mesh, rel=1e-4)
    depths = torch.cat([depths_of(sample) for sample in both])
    depth = sum(float((reading.depths[i].detach() - depths[i]).square().sum()) / 21 / 5 for i in range(5))  # Eq. 5.6
    assert float(terms["depth"].detach()) == pytest.approx(0.7 * depth, rel=1e-4)


def test_without_meshes_there_is_no_mesh_loss(network):
    terms = network.single_losses(Mixture({JOINTS: sample_of()}))
    assert terms.keys() == {"heat_maps", "depth"}
    assert network.mesh_losses(Mixture({MESHES: sample_of(vertices=True)})).keys() == {"mesh"}


@pytest.mark.parametrize(
    ("players", "moved"),
    [
        ("players_of_evidence", {"single.evidence"}),
        ("players_of_mesh", {"single.trunk", "single.surface"}),
        ("players_of_depth", {"single.reader"}),
        ("players_without_meshes", {"single.trunk", "single.surface", "single.reader"}),
        ("players_of_single", {"single.evidence", "single.trunk", "single.surface", "single.reader"}),
    ],
)
def test_stages_move_what_is_theirs(network, batch, players, moved):
    (player,) = getattr(network.train(), players)()
    names = {id(p): name for name, p in network.named_parameters()}
    assert {".".join(names[id(p)].split(".")[:2]) for p in player.parameters} == moved
    sum(player.losses(batch).values()).backward()
    reached = {".".join(name.split(".")[:2]) for name, p in network.named_parameters() if p.grad is not None}
    assert reached == moved  # nothing flows into what stays as it is


def test_what_stays_as_it_is_keeps_its_statistics(network, batch):
    network.train()
    before = {name: value.clone() for name, value in network.single.evidence.state_dict().items()}
    network.mesh_losses(batch)
    network.depth_losses(batch)
    after = network.single.evidence.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_labels_are_relative_to_the_wrist_in_bones():
    sample = sample_of(vertices=True)
    assert not depths_of(sample)[:, 0].any()
    moved = replace(sample, joints=2 * sample.joints, vertices=2 * sample.vertices)
    torch.testing.assert_close(mesh_of(moved), mesh_of(sample))
    torch.testing.assert_close(depths_of(moved), depths_of(sample), atol=1e-5, rtol=1e-4)


def test_true_maps_and_depths_give_the_true_joints():
    K = torch.tensor([[70.0, 0, 31], [0, 70, 30], [0, 0, 1]]).expand(2, -1, -1)
    joints = torch.rand(2, 21, 3, generator=torch.Generator().manual_seed(0)) * 0.2 + torch.tensor([-0.1, -0.1, 0.4])
    pixels = Camera(K, 64, 64).project(joints)
    scale = (joints[:, 9] - joints[:, 10]).norm(dim=-1)
    sample = Sample(image=torch.zeros(2, 3, 64, 64), joints=joints, joints_2d=pixels)
    reading = Reading([label_maps(joints_2d_of(sample), 16, 16)], torch.zeros(2, 9, 3), depths_of(sample))
    found = in_metres(reading, K, joints[:, 0, 2], scale, 64)
    torch.testing.assert_close(found, joints, atol=2e-4, rtol=0)


def test_worlds_and_cameras():
    views = views_of()
    before = to_cameras(views.joints, views.world_to_camera)
    for camera in range(3):
        matrix = views.world_to_camera[0, camera]
        torch.testing.assert_close(before[0, camera, 5], matrix[:3, :3] @ views.joints[0, 5] + matrix[:3, 3])
    torch.testing.assert_close(to_world(before, views.world_to_camera), views.joints[:, None].expand(-1, 3, -1, -1))
    torch.testing.assert_close(views.root_depth(), before[:, :, 0, 2])


def test_pose_loss_is_the_equation(network):
    network.config = replace(network.config, drop=0.0)
    views = views_of()
    found, expected = network(views), 0.0
    for frame in range(4):
        scale = (views.joints[frame, 9] - views.joints[frame, 10]).norm()
        expected += float(((found[frame].detach() - views.joints[frame]) / scale).square().sum()) / 21 / 4  # Eq. 5.7
    assert float(network.losses(views)["pose"].detach()) == pytest.approx(1.3 * expected, rel=1e-4)


def test_the_last_stage_reaches_the_heat_maps(network):
    views = replace(views_of(), predicted=None)
    network.losses(views)["pose"].backward()
    for part in ("single.evidence.heads.1", "single.surface", "single.reader", "fusion"):
        gradients = [p.grad for name, p in network.named_parameters() if name.startswith(part)]
        assert gradients and all(g is not None for g in gradients) and any(bool(g.any()) for g in gradients)
    network.zero_grad()
    network.fusion_losses(views)["pose"].backward()
    assert all((p.grad is None) == name.startswith("single") for name, p in network.named_parameters())


def test_absent_views_do_not_matter(network):
    """Whatever a camera that drops a frame leaves there, the hand is the same."""
    views = views_of()
    present = torch.tensor([[True, False, True], [True, True, True], [False, False, True], [True, True, False]])
    scale = torch.full((4,), 0.03)
    found = network.fuse(views.predicted, scale, present)
    for rubbish in (torch.nan, torch.inf, 1e6):
        spoilt = torch.where(present[..., None, None], views.predicted, rubbish)
        torch.testing.assert_close(network.fuse(spoilt, scale, present), found)
    assert not torch.allclose(network.fuse(views.predicted, scale)[0], found[0])  # the view would have had a say
    alone = views.predicted[2, 2]
    assert (found[2] - alone).norm(dim=-1).max() < 0.03  # near the one view that there is
    assert network.fuse(views.predicted, scale, torch.zeros(4, 3, dtype=torch.bool)).isnan().all()


def test_as_many_views_as_the_rig_has_cameras(network):
    with pytest.raises(InputError, match="has 3 cameras and was given 2; mark absent views"):
        network.fuse(torch.zeros(1, 2, 21, 3), torch.ones(1))


def test_views_are_dropped_but_one(network):
    network.config = replace(network.config, drop=0.9)
    views = views_of(frames=200)
    torch.manual_seed(0)
    kept = network._dropped(views)
    assert kept.any(1).all() and 0.3 < float(kept.float().mean()) < 0.5
    views = replace(views, present=torch.tensor([True, False, False]).expand(200, -1))
    assert torch.equal(network._dropped(views), views.present)


def test_joining_learns_which_camera_errs_where(network):
    """Each camera's depth is bad: fused joints become better than their mean."""
    views, test = views_of(128, noise=0.002), views_of(64, noise=0.002, seed=1)
    for part in (views, test):
        along = part.world_to_camera[:, :, None, 2, :3]  # the axis of each camera, in the world
        part.predicted += 0.02 * torch.randn(*part.predicted.shape[:3], 1) * along
    network.train()
    optimiser = torch.optim.Adam(network.fusion.parameters(), lr=5e-3)
    for _ in range(120):
        optimiser.zero_grad()
        network.fusion_losses(views)["pose"].backward()
        optimiser.step()
    with torch.no_grad():
        found = (network.eval()(test) - test.joints).norm(dim=-1).mean()
        mean = (test.predicted.mean(1) - test.joints).norm(dim=-1).mean()
    assert float(found) < 0.75 * float(mean)


def test_weights_come_back(network, hand, tmp_path):
    save_weights(network, tmp_path / "w.safetensors", hand)
    found = load(tmp_path / "w.safetensors", hand)
    assert found.config.mesh == (4, 4, 4, 4) and found.config.keep == (12, 6)
    views = views_of()
    torch.testing.assert_close(found(views), network(views), atol=1e-3, rtol=1e-2)
    assert not any(p.requires_grad for p in found.parameters())
    assert len(found(views[1:3])) == 2 and views.to("cpu").predicted is not None


@pytest.mark.parametrize("bad", [{"size": 80}, {"size": 32}, {"views": 0}, {"drop": 1.0}])
def test_settings_that_make_no_sense(bad):
    with pytest.raises(InputError, match=next(iter(bad)) if "drop" not in bad else "drop"):
        replace(TINY, **bad)
