"""The refinable net: its angles, its clouds and crops, and that depth alone moves hand and surface to where they are."""

import pytest
import torch
from torch import nn

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.data.mixture import Mixture
from phalanx.hand.model import HandModel
from phalanx.hand.pose_space import sample_angles
from phalanx.methods.refinable import (
    FOREARM,
    PALM,
    HandCrops,
    HandSegmenter,
    MaskedPictures,
    RefinableConfig,
    RefinableNet,
    SegmenterConfig,
    angle_error,
    beyond_limits,
    cut,
    in_bones,
    in_cube,
    largest_parts,
    load,
    mask_boxes,
    mask_of,
    normalised,
    palm_angles,
    palm_rotation,
    pose_of,
    save_weights,
)
from phalanx.render.splats import splat_index

TINY = RefinableConfig(size=48, width=8, points=200, map=24, radius=0.08)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return RefinableNet(TINY)


def hands(count: int) -> torch.Tensor:
    """Angles (B, 23) of hands, the palm towards the camera more or less."""
    fingers = torch.as_tensor(sample_angles(generator(0), count)).float()[:, PALM:]
    palm = 0.4 * torch.randn(count, PALM, generator=torch.Generator().manual_seed(1))
    return torch.cat((palm, fingers), dim=1)


def test_palms_angles_are_rotations_and_back():
    turn = torch.linalg.qr(torch.randn(50, 3, 3, generator=torch.Generator().manual_seed(0)))[0]
    turn = turn * torch.linalg.det(turn)[:, None, None]
    angles = palm_angles(turn)
    torch.testing.assert_close(palm_rotation(angles), turn, atol=1e-5, rtol=0)
    assert angles[:, 1].abs().max() <= torch.pi / 2
    torch.testing.assert_close(palm_rotation(torch.zeros(1, 3))[0], torch.diag(torch.tensor([1.0, -1.0, -1.0])))
    roll = angles + torch.tensor([0.3, 0, 0])  # the roll turns the picture
    about = palm_rotation(torch.tensor([[0.3, 0, 0]])) @ palm_rotation(torch.zeros(1, 3)).mT
    torch.testing.assert_close(palm_rotation(roll), about @ turn, atol=1e-5, rtol=0)


def test_angles_are_read_as_they_are_learnt(network):
    angles = hands(6)
    palm = torch.stack((angles[:, :PALM].cos(), angles[:, :PALM].sin()), dim=-1).flatten(1)
    found = torch.cat((palm, angles[:, PALM:]), dim=1)
    torch.testing.assert_close(network.angles_of(found), angles)
    assert float(angle_error(found, angles)) < 1e-12
    around = angles + torch.tensor([2 * torch.pi] * PALM + [0.0] * 20)
    assert float(angle_error(found, around)) < 1e-10
    off = found.clone()
    off[:, -1] += 0.1
    assert float(angle_error(off, angles)) == pytest.approx(0.01 / 23, rel=1e-4)
    assert float(beyond_limits(angles[:, PALM:])) < 1e-3 < float(beyond_limits(4 * torch.ones(1, 20)))


def test_the_cloud_is_skinned_like_the_mesh(network):
    """Eq. 1: points stay on the surface (without its correctives), and the forearm has none."""
    hand = HandModel.open_hand()
    angles = hands(3)
    surface = hand.without_correctives()(pose_of(angles)).vertices[:, hand.parts != FOREARM].detach()
    away = torch.cdist(network.posed_cloud(angles), surface).amin(2)
    assert away.shape == (3, TINY.points) and float(away.max()) < 0.013 and float(away.mean()) < 0.005
    gaps = torch.cdist(network.rest, network.rest).fill_diagonal_(1).amin(1)
    assert float(gaps.min()) > 0.5 * float(gaps.mean())  # even


def test_gradients_reach_network_and_cloud(network):
    network.learn_cloud()
    try:
        network.zero_grad()
        crops = HandCrops(torch.rand(2, 1, 48, 48), points=network.posed_cloud(hands(2)).detach())
        network.losses(crops)["depth"].backward()
        assert network.offsets.grad is not None and (network.offsets.grad != 0).any(1).float().mean() > 0.3
        assert all(p.grad is not None for p in network.network.parameters())
        assert len(network.players()[0].parameters) == len(list(network.parameters()))
    finally:
        network.learn_cloud(False)
    assert all(p is not network.offsets for p in network.players()[0].parameters)


def test_what_is_seen_goes_to_the_middle_wherever_the_hand_is(network):
    cloud = network.posed_cloud(hands(3)).detach()
    lost = torch.cat((cloud + torch.tensor([0.3, -0.2, 0.9]), torch.full((3, 5, 3), torch.nan)), dim=1)
    placed = in_cube(cloud, 0.25, 48, 0.08)
    torch.testing.assert_close(in_cube(lost, 0.25, 48, 0.08)[:, :-5], placed, atol=2e-2, rtol=0)
    winners = splat_index(placed, 48, 0.08)
    for points, seen in zip(placed, winners, strict=True):
        middle = points[seen[seen >= 0].long()].mean(0)
        assert (middle - 0.5).abs().max() < 0.02


class Numbers(nn.Module):
    """A network that gives what it holds, whatever it sees."""

    def __init__(self, found: torch.Tensor) -> None:
        super().__init__()
        self.found = nn.Parameter(found)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.found


@pytest.mark.parametrize("what", ["pose", "surface"])
def test_depth_alone_finds(what):
    """Angles as free numbers descend Eq. 5 to the true pose; where they are known, the cloud comes nearer to a larger hand."""
    network = RefinableNet(RefinableConfig(size=48, width=8, points=400, map=40, radius=0.06))
    true = hands(4)
    palm = torch.stack((true[:, :PALM].cos(), true[:, :PALM].sin()), dim=-1).flatten(1)
    noise = 0.15 * torch.randn(4, 26, generator=torch.Generator().manual_seed(2)) if what == "pose" else 0
    scale = 1.12 if what == "surface" else 1.0
    crops = HandCrops(torch.zeros(4, 1, 48, 48), points=scale * network.posed_cloud(true).detach())
    network.network = Numbers(torch.cat((palm, true[:, PALM:]), dim=1) + noise)  # type: ignore[assignment]
    network.learn_cloud(what == "surface")
    network.network.requires_grad_(what == "pose")
    moved = [p for p in network.parameters() if p.requires_grad]
    descent = torch.optim.Adam(moved, 1e-2 if what == "pose" else 3e-3)

    @torch.no_grad()
    def off() -> tuple[float, float]:
        angles = network.angles_of(network(crops.image))
        larger, cloud = scale * network.rest, network.cloud()
        away = (
            torch.cdist(cloud - (cloud - larger).mean(0), larger).amin(1).mean()
        )  # what is seen says nothing of the wrist's place
        return float(network.losses(crops)["depth"]), float((angles - true).abs().mean() if what == "pose" else away)

    before = off()
    for _ in range(30):
        descent.zero_grad()
        sum(network.losses(crops).values()).backward()  # type: ignore[union-attr]
        descent.step()
    after = off()
    assert after[0] < 0.5 * before[0] and after[1] < (0.67 if what == "surface" else 0.9) * before[1], (before, after)


def test_a_mixture_has_the_terms_of_its_kinds(network):
    angles, image = hands(4), torch.rand(4, 1, 48, 48)
    pairs = HandCrops(image[:2], points=network.posed_cloud(angles[:2]).detach())
    mixed = Mixture({"crops": pairs, "beside": HandCrops(image[2:], angles=angles[2:])})
    network.eval()  # or normalisation would see others
    try:
        terms = network.losses(mixed)
        apart = network.losses(pairs) | network.losses(mixed.parts["beside"])
    finally:
        network.train()
    assert terms.keys() == {"depth", "limits", "angles"}
    for name, value in terms.items():
        torch.testing.assert_close(value, apart[name])


def test_the_twin_regresses_joints():
    twin = RefinableNet(RefinableConfig(size=48, width=8, points=50, target="joints"))
    joints = in_bones(twin.hand.joints(pose_of(hands(2))))
    crops = HandCrops(torch.rand(2, 1, 48, 48), angles=hands(2), joints=joints, points=torch.zeros(2, 4, 3))
    assert list(twin.losses(crops)) == ["joints"] and twin.joints_of(joints.flatten(1)).equal(joints)
    assert float(joints[:, 0].abs().max()) == 0 and (joints[:, 9] - joints[:, 10]).norm(dim=-1).allclose(torch.ones(2))


def test_crops_hold_the_mask_however_they_are_turned():
    masks = torch.zeros(3, 40, 60, dtype=torch.bool)
    masks[0, 5:20, 10:15] = True
    masks[1, 30:40, 50:60] = True  # at the corner; the third is empty
    boxes = mask_boxes(masks)
    assert boxes[0].tolist() == pytest.approx([12, 12, 2.1 * ((7**2 + 2**2) ** 0.5 + 0.5)])
    assert boxes[2].tolist() == [29.5, 19.5, 60]
    for turn in (0.0, 0.7, 2.0):
        crops = cut(masks[:, None].float(), boxes, 32, torch.full((3,), turn))[:, 0]
        area = crops.sum((1, 2)) * (boxes[:, 2] / 32) ** 2
        torch.testing.assert_close(area[:2], torch.tensor([75.0, 100.0]), rtol=0.05, atol=0)
        assert crops[:2, 0].max() < 0.6 and crops[:2, :, 0].max() < 0.6  # about half of a pixel at most
    upright = cut(masks[:1, None].float(), torch.tensor([[29.5, 19.5, 60.0]]), 60)[0, 0]
    assert torch.equal(upright[10:50] > 0.5, masks[0])


def test_grey_is_stretched_over_the_hand_alone():
    image = torch.linspace(0.4, 0.6, 400).view(1, 1, 20, 20).expand(1, 3, 20, 20).clone()
    masks = torch.zeros(1, 20, 20, dtype=torch.bool)
    masks[:, 5:15] = True
    image[0, :, 5, 0], image[0, :, 14, 19], image[0, :, 0] = 0.0, 1.0, 1.0  # two wrong pixels, and a bright ground
    grey = normalised(image, masks)[0, 0]
    assert grey[~masks[0]].abs().max() == 0 and grey[14, 19] == 1 and grey[5, 0] == 0
    assert float(grey[5, 3]) < 0.05 and float(grey[14, 15]) > 0.95 and 0.4 < float(grey[9, 19]) < 0.6
    assert normalised(image, torch.zeros_like(masks)).abs().max() == 0


def test_masks_end_at_the_wrist():
    parts = torch.tensor([[[0, 1, 2, 3, 17]]])
    assert mask_of(parts).tolist() == [[[False, True, False, True, True]]]
    masks = torch.tensor([[[1, 1, 0, 1], [1, 0, 0, 0]], [[0] * 4] * 2]).bool()
    assert largest_parts(masks).int().tolist() == [[[1, 1, 0, 0], [1, 0, 0, 0]], [[0] * 4] * 2]


@pytest.mark.parametrize("name", ["ours", "handsegnet"])
def test_both_stages_learn_and_the_fine_mask_goes_back_to_its_place(name):
    torch.manual_seed(0)
    network = HandSegmenter(SegmenterConfig(size=64, width=4, network=name))
    mask = torch.zeros(2, 64, 64)
    mask[0, 10:30, 20:36], mask[1, 34:60, 30:50] = 1, 1
    batch = MaskedPictures(mask[:, None].expand(2, 3, 64, 64).clone(), mask)
    for player in network.players():
        network.zero_grad()
        sum(player.losses(batch).values()).backward()  # type: ignore[union-attr]
        assert all(p.grad is not None for p in player.parameters)

    class Bright(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return 40 * (images[:, 0] - 0.5)

    network.rough = network.fine = Bright()  # type: ignore[assignment]
    assert ((network(batch.image) > 0.5) == (mask > 0.5)).float().mean() > 0.995


def test_weights_are_written_and_read(tmp_path, network):
    path = tmp_path / "refinable.safetensors"
    save_weights(network, path, HandModel.open_hand())
    again = load(path)
    assert not again.training and again.config.size == 48 and not any(p.requires_grad for p in again.parameters())
    image = torch.rand(1, 1, 48, 48)
    torch.testing.assert_close(again(image), network.eval()(image), atol=2e-2, rtol=0)
    network.train()
    with pytest.raises(InputError, match="size: must be at least 32"):
        RefinableConfig(size=16)
