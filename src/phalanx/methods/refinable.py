"""3D hand pose from colour that refines itself on pairs of colour and depth without labels, and learns the hand's surface with it.

Dibra et al., "Monocular RGB Hand Pose Inference from Unsupervised Refinable Nets", CVPR Workshops 2018.

    colour -> OurSegNet: rough mask, box, crop, fine mask -> grey, centred, 225 x 225 -> SynthNet -> 23 angles
                                                                                                      |
    depth -> points on the hand -> splats                cloud on the hand's surface -> skinning (Eq. 1) -> splats
                                     |                                                                    |
                                     +-------------------------- L1 (Eq. 5) ------------------------------+

SynthNet learns angles on labelled synthesis (`HandCrops` with angles); RefNet, the same network with the lower row behind it, learns on
pairs without labels (`HandCrops` with points). Gradients reach the network and, where it is to be learnt, the cloud.

What the paper leaves unsaid, and what was chosen:

- **Supplementary**: layers and base poses are "in the supplementary", which is not in print; `nets.squeeze` and `nets.segmentation` say
  which layers are taken.
- **Masks** are of the hand up to the wrist. In print a black wristband ends it; here the forearm's part is left out.
- **Crop**: the middle of the mask's box is the crop's, and the mask's pixel farthest from it lies just inside, so that the crop may be
  turned in its plane, which training does at random. Percentiles are of the hand's pixels.
- **The view**: a crop is looked at as if the camera turned to its middle; the palm's angles, joints and points are in that frame.
- **The open palm** (all angles 0): fingers up, palm to the camera. Its three angles, called the wrist's in print, turn the *palm in the
  camera*: R = Rz(roll) Rx(tilt) Ry(turn) R_open, which is singular only where fingers point at the camera or away from it. The 20 angles
  of the fingers are those of `hand.angles`, which are 0 in the open palm.
- **Circles**: regressed as plain numbers, roll and turn would jump from 180 to -180 degrees, in the middle of backs of hands. The network
  gives cosine and sine of each of the palm's angles, and the loss is the squared distance of these, for small errors that of the angle.
- **No translation**: SynthNet predicts none, so either cloud enters the unit cube by itself: the mean of what is *seen* of it, weighted by
  pixels, goes to the cube's middle. Seen alone, because a sensor sees one side. The cube has a side of `cube` metres for both; depth in
  metres is what makes the hand's size known.
- **r** is `radius` of the cube's side: 12.5 mm. Points are 6 mm apart where 800 lie on a hand; splats must overlap, and not blur fingers.
- **Eq. 5** is a mean over pixels here, so that its factor does not depend on the resolution.
- **The cloud** is the sampled one plus offsets that are smoothed along the surface over `smoothing` metres (0: each point by itself, as
  printed): what is never seen goes with its neighbours, and noise of single points averages out. The skeleton's pivots stay. Offsets are
  in decimetres, so that at the rates of weights the cloud moves slowly: ten times as fast, and while poses were still wrong, it became
  the mean of all outlines, a mitten that lowers Eq. 5 and is no hand.
- **Labels beside**: the paper refines on pairs alone. A mixture may hold labelled synthesis, too, which keeps what depth does not tell:
  outlines of a palm and of a back are alike.
- **Impossible poses**: angles beyond `hand.angles.LIMITS` cost a little, after Zhou et al. 2016, whom they cite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from phalanx.core.errors import InputError
from phalanx.data.hand_depth import scale_of
from phalanx.data.images import LUMA
from phalanx.data.mixture import Mixture
from phalanx.geometry.grids import sampling_grid
from phalanx.hand.anatomy import LIMITS, angles_to_rotations
from phalanx.hand.model import HandModel
from phalanx.hand.pose import HandPose
from phalanx.methods.base import Losses, Method, Player
from phalanx.nets.segmentation import HandSegNet, SlimSegNet
from phalanx.nets.squeeze import SqueezeNet
from phalanx.nets.weights import load_network, write_weights
from phalanx.render.splats import splat_depth, splat_index

METHOD = "refinable"
"""What its weights files say they are of."""

PALM = 3
"""Angles of the palm, before the fingers' 20: roll, tilt, turn."""

OPEN = (1.0, -1.0, -1.0)
"""Diagonal of the palm's rotation where its angles are 0: hand frame to camera frame."""

FOREARM = 1
"""The segment that is not the hand's."""

MARGIN = 1.05
"""How much wider a crop is than its mask."""


@dataclass
class RefinableWeights:
    """Factors of loss terms; none is printed. 0 leaves a term out."""

    angles: float = 1.0
    """Squared errors, in radians."""
    joints: float = 1.0
    """Squared errors of the joint-regressing twin, in lengths of a bone."""
    depth: float = 10.0
    """Eq. 5, a mean over pixels."""
    limits: float = 0.1
    """Squared excess over the limits of angles, in radians; where there are no labels."""


@dataclass
class RefinableConfig:
    """The network, its cloud, and the losses."""

    size: int = 225
    """Side of crops, pixels."""
    width: int = 64
    """Channels of the first layer."""
    target: Literal["angles", "joints"] = "angles"
    """What it regresses: angles, or (the twin of Table 4 and Fig. 7) the positions of joints."""
    points: int = 1000
    """Of the cloud on the hand's surface."""
    map: int = 64
    """Side of splatted depth maps, pixels."""
    cube: float = 0.25
    """Side of the unit cube, metres."""
    radius: float = 0.05
    """r of Eq. 4, in sides of the cube."""
    smoothing: float = 0.01
    """Metres over which the cloud's offsets are smoothed along the surface; 0: not."""
    weights: RefinableWeights = field(default_factory=RefinableWeights)
    """Factors of the loss terms."""

    def __post_init__(self) -> None:
        if self.size < 32:
            raise InputError(f"size: must be at least 32 pixels, not {self.size}")


ARCHITECTURE = tuple(item.name for item in fields(RefinableConfig) if item.name != "weights")
"""What of `RefinableConfig` weights are of."""


@dataclass
class HandCrops:
    """B masked crops, and what is known of each; a batch. In the crop's view (see the head), metres and radians.

    Attributes:
        image: (B, 1, S, S) grey, 0 beyond the mask.
        angles: (B, 23) palm and fingers.
        joints: (B, 21, 3) from the wrist, in lengths of `data.hand_depth.SCALE_BONE`.
        points: (B, M, 3) readings of the depth sensor on the hand; NaN where there are fewer than M.
    """

    image: Tensor
    angles: Tensor | None = None
    joints: Tensor | None = None
    points: Tensor | None = None

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, rows: slice) -> HandCrops:
        return self._with(lambda value: value[rows])

    def to(self, device: torch.device) -> HandCrops:
        """The same on `device`."""
        return self._with(lambda value: value.to(device))

    def _with(self, function: Callable[[Tensor], Tensor]) -> HandCrops:
        rest = (None if value is None else function(value) for value in (self.angles, self.joints, self.points))
        return HandCrops(function(self.image), *rest)


class RefinableNet(Method):
    """SynthNet, and RefNet behind it. `network(images (B, 1, S, S))` gives what `angles_of` or `joints_of` read.

    `offsets` (N, 3) of the cloud, decimetres, stay until `learn_cloud` is called.
    """

    rest: Tensor
    skin: Tensor
    near: Tensor

    def __init__(self, config: RefinableConfig | None = None, hand: HandModel | None = None) -> None:
        super().__init__()
        self.config = config or RefinableConfig()
        outputs = 63 if self.config.target == "joints" else 2 * PALM + 20
        self.network = SqueezeNet(self.config.size, 1, outputs, self.config.width)
        self.hand = hand or HandModel.open_hand()
        rest, skin = surface_cloud(self.hand, self.config.points)
        self.offsets = nn.Parameter(torch.zeros_like(rest), requires_grad=False)
        for name, value in (("rest", rest), ("skin", skin), ("near", neighbours(rest, skin, self.config.smoothing))):
            self.register_buffer(name, value, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def learn_cloud(self, learn: bool = True) -> None:
        """Whether the cloud is moved from now on."""
        self.offsets.requires_grad_(learn)

    def losses(self, batch: HandCrops | Mixture) -> dict[str, Tensor]:
        """L_angle where there are angles (or, of the twin, squared errors of joints), L_depth where there are points.

        Of a mixture the network sees all crops at once, so that normalisation knows no kinds.
        """
        kinds: list[HandCrops] = list(batch.parts.values()) if isinstance(batch, Mixture) else [batch]  # type: ignore[arg-type]
        found = self(torch.cat([crops.image for crops in kinds])).float().split([len(crops) for crops in kinds])
        terms: dict[str, Tensor] = {}
        for crops, values in zip(kinds, found, strict=True):
            terms |= self._losses(crops, values)
        return terms

    def _losses(self, batch: HandCrops, found: Tensor) -> dict[str, Tensor]:
        """The terms of one kind."""
        weights, terms = self.config.weights, {}
        if self.config.target == "joints":
            if batch.joints is not None:
                terms["joints"] = weights.joints * (self.joints_of(found) - batch.joints).square().mean()
            return terms
        if batch.angles is not None:
            terms["angles"] = weights.angles * angle_error(found, batch.angles)
        if batch.points is not None and weights.depth:
            with torch.autocast(found.device.type, enabled=False):
                angles = self.angles_of(found)
                made, true = self.map_of(self.posed_cloud(angles)), self.map_of(batch.points)
                terms["depth"] = weights.depth * (made - true).abs().mean()  # Eq. 5
                if weights.limits:
                    terms["limits"] = weights.limits * beyond_limits(angles[:, PALM:])
        return terms

    def angles_of(self, found: Tensor) -> Tensor:
        """Angles (B, 23) in radians, in what the network gives."""
        palm = found[:, : 2 * PALM].float().unflatten(1, (PALM, 2))
        return torch.cat((torch.atan2(palm[..., 1], palm[..., 0]), found[:, 2 * PALM :].float()), dim=1)

    def joints_of(self, found: Tensor) -> Tensor:
        """Joints (B, 21, 3) from the wrist in lengths of a bone, in what the network gives; angles are posed on the mean hand."""
        if self.config.target == "joints":
            return found.float().unflatten(1, (21, 3))
        return in_bones(self.hand.joints(pose_of(self.angles_of(found))))

    def cloud(self) -> Tensor:
        """The cloud (N, 3) as it is learnt, hand frame, metres."""
        return self.rest + 0.1 * (self.near @ self.offsets)  # offsets in decimetres: the head says why

    def posed_cloud(self, angles: Tensor) -> Tensor:
        """Eq. 1: the cloud (B, N, 3) in the view under angles (B, 23), the wrist at 0."""
        transforms = self.hand.transforms(pose_of(angles))  # (B, 17, 3, 4)
        blended = torch.einsum("ns,bsij->bnij", self.skin, transforms)
        return (blended[..., :3] @ self.cloud()[:, :, None])[..., 0] + blended[..., 3]

    def map_of(self, points: Tensor) -> Tensor:
        """Splatted depth (B, R, R) of clouds (B, N, 3) in the view, metres, each by itself in the unit cube."""
        config = self.config
        return splat_depth(in_cube(points, config.cube, config.map, config.radius), config.map, config.radius)


def in_cube(points: Tensor, cube: float, size: int, radius: float) -> Tensor:
    """Clouds (B, N, 3) in metres in the unit cube: the mean of what is seen of each, weighted by pixels, is its middle."""
    middle = points.detach().nanmean(1, keepdim=True)
    placed = (points - middle) / cube + 0.5
    seen = splat_index(placed, size, radius).flatten(1).long()  # (B, S * S)
    weights = points.new_zeros(len(points), points.shape[1] + 1)
    weights.scatter_add_(1, torch.where(seen < 0, points.shape[1], seen), torch.ones_like(seen, dtype=points.dtype))
    weights = weights[:, :-1, None] / weights[:, :-1].sum(1).clamp_min(1.0)[:, None, None]
    shift = torch.where(weights > 0, weights * (placed - 0.5), 0.0).sum(1, keepdim=True)
    return placed - shift


def pose_of(angles: Tensor) -> HandPose[Tensor]:
    """The mean hand under angles (B, 23), the wrist at 0."""
    fingers = torch.cat((torch.zeros_like(angles[:, :PALM]), angles[:, PALM:]), dim=1)
    zero = torch.zeros_like(fingers[:, :3])
    return HandPose(
        angles_to_rotations(fingers), fingers.new_zeros(len(fingers), 10), palm_rotation(angles[:, :PALM]), zero
    )


def palm_rotation(angles: Tensor) -> Tensor:
    """Rotation (B, 3, 3) of the palm, hand frame to view, of roll, tilt and turn (B, 3)."""
    (ca, cb, cc), (sa, sb, sc) = angles.cos().unbind(1), angles.sin().unbind(1)
    first = ca * cc - sa * sb * sc, -sa * cb, ca * sc + sa * sb * cc
    second = sa * cc + ca * sb * sc, ca * cb, sa * sc - ca * sb * cc
    rows = torch.stack((*first, *second, -cb * sc, sb, cb * cc), dim=1)
    return rows.unflatten(1, (3, 3)) * angles.new_tensor(OPEN)


def palm_angles(rotation: Tensor) -> Tensor:
    """Roll, tilt (from -90 to 90 degrees) and turn (B, 3) of rotations (B, 3, 3); the inverse of `palm_rotation`."""
    r = rotation * rotation.new_tensor(OPEN)
    tilt = torch.asin(r[:, 2, 1].clamp(-1, 1))
    return torch.stack((torch.atan2(-r[:, 0, 1], r[:, 1, 1]), tilt, torch.atan2(-r[:, 2, 0], r[:, 2, 2])), dim=1)


def angle_error(found: Tensor, angles: Tensor) -> Tensor:
    """Mean squared error of what the network gives (B, 26) to angles (B, 23): on circles for the palm, of numbers for fingers."""
    palm = torch.stack((angles[:, :PALM].cos(), angles[:, :PALM].sin()), dim=-1).flatten(1)
    squares = (found[:, : 2 * PALM] - palm).square().sum(1) + (found[:, 2 * PALM :] - angles[:, PALM:]).square().sum(1)
    return squares.mean() / angles.shape[1]


def beyond_limits(fingers: Tensor) -> Tensor:
    """Mean square by which angles of fingers (B, 20) exceed their limits, radians."""
    low, high = LIMITS[PALM:].to(fingers).unbind(1)
    return ((low - fingers).clamp_min(0) + (fingers - high).clamp_min(0)).square().mean()


def in_bones(joints: Tensor) -> Tensor:
    """Joints (B, 21, 3) from the wrist, over the length of the middle finger's first bone (`data.hand_depth.SCALE_BONE`)."""
    joints = joints - joints[:, :1]
    return joints / scale_of(joints)[:, None, None]


@torch.no_grad()
def surface_cloud(hand: HandModel, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points (N, 3) uniform on the surface of the mean hand without its forearm, and their skinning weights (N, 17).

    Those of the forearm go to the palm, so that the cloud ends with the hand.
    """
    corners, weights = surface_points(hand, count, seed)
    rest = torch.einsum("nk,nki->ni", weights, hand.template[corners])
    skin = torch.einsum("nk,nks->ns", weights, hand.skin_weights[corners])
    skin[:, 0] += skin[:, FOREARM]
    skin[:, FOREARM] = 0
    return rest, skin / skin.sum(1, keepdim=True)


@torch.no_grad()
def surface_points(hand: HandModel, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Corners (N, 3) of triangles of the hand without its forearm, and barycentric weights (N, 3) of points within them.

    Of four times as many, drawn by area, each next one is the farthest from those before it: even, without clusters and gaps.
    """
    faces = hand.faces[(hand.parts[hand.faces] != FOREARM).all(1)]
    a, b, c = hand.template[faces].unbind(1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=1)
    random = torch.Generator().manual_seed(seed)
    corners = faces[torch.multinomial(area.cpu(), 4 * count, replacement=True, generator=random)]
    first, second = torch.rand(2, 4 * count, generator=random)
    root = first.sqrt()
    weights = torch.stack((1 - root, root * (1 - second), root * second), dim=1)
    places = torch.einsum("nk,nki->ni", weights, hand.template[corners])
    away, chosen = torch.full((len(places),), torch.inf), [0]
    for _ in range(count - 1):
        away = torch.minimum(away, (places - places[chosen[-1]]).square().sum(1))
        chosen.append(int(away.argmax()))
    return corners[chosen], weights[chosen]


def neighbours(rest: Tensor, skin: Tensor, reach: float) -> Tensor:
    """What averages offsets (N, N): Gaussian weights of `reach` metres among points of one segment or of two that blend."""
    if reach <= 0:
        return torch.eye(len(rest), dtype=rest.dtype)
    weights = torch.exp(-torch.cdist(rest, rest).square() / (2 * reach**2)) * (skin @ skin.T)
    return weights / weights.sum(1, keepdim=True)


def mask_of(parts: Tensor) -> Tensor:
    """Where the hand is (B, H, W) bool, up to the wrist, of a sample's parts."""
    return (parts > 0) & (parts != 1 + FOREARM)


def mask_boxes(masks: Tensor) -> Tensor:
    """Middle and side (B, 3) in pixels of the crops about masks (B, H, W) bool; of an empty mask the whole picture."""
    height, width = masks.shape[-2:]
    x, y = (torch.arange(n, device=masks.device, dtype=torch.float32) for n in (width, height))
    there = masks.any(1), masks.any(2)  # (B, W), (B, H)
    low = [torch.where(seen, line, torch.inf).amin(1) for seen, line in zip(there, (x, y), strict=True)]
    high = [torch.where(seen, line, -torch.inf).amax(1) for seen, line in zip(there, (x, y), strict=True)]
    empty = ~masks.flatten(1).any(1)
    middle = [
        torch.where(empty, 0.5 * (n - 1), 0.5 * (a + b)) for a, b, n in zip(low, high, (width, height), strict=True)
    ]
    away = (x - middle[0][:, None]).square()[:, None] + (y - middle[1][:, None]).square()[:, :, None]
    reach = torch.where(masks, away, 0.0).flatten(1).amax(1).sqrt() + 0.5
    side = torch.where(empty, float(max(height, width)), 2 * MARGIN * reach)
    return torch.stack((*middle, side), dim=1)


def cut(pictures: Tensor, boxes: Tensor, size: int, turns: Tensor | None = None) -> Tensor:
    """Crops (B, C, size, size) of pictures (B, C, H, W) about `boxes` (B, 3), turned in their plane; 0 beyond the picture.

    Args:
        turns: (B,) radians, from x to y; None: none.
    """
    height, width = pictures.shape[-2:]
    turns = torch.zeros_like(boxes[:, 0]) if turns is None else turns
    cosine, sine = turns.cos(), turns.sin()
    wide, high = boxes[:, 2] / width, boxes[:, 2] / height
    middle_x, middle_y = (2 * boxes[:, 0] + 1) / width - 1, (2 * boxes[:, 1] + 1) / height - 1
    rows = (cosine * wide, sine * wide, middle_x, -sine * high, cosine * high, middle_y)
    grid = sampling_grid(torch.stack(rows, dim=1).unflatten(1, (2, 3)), size)
    return functional.grid_sample(pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def normalised(images: Tensor, masks: Tensor) -> Tensor:
    """Grey (B, 1, H, W) of pictures (B, 3, H, W) in [0, 1]: the hand's 1st percentile becomes 0 and its 99th 1, what is no hand 0."""
    grey = (images * images.new_tensor(LUMA)[:, None, None]).sum(1)
    ordered = torch.where(masks, grey, torch.inf).flatten(1).sort(1).values
    count = masks.flatten(1).sum(1)
    low, high = (
        ordered.gather(1, ((count - 1).clamp_min(0) * share).round().long()[:, None])[:, :, None]
        for share in (0.01, 0.99)
    )
    stretched = ((grey - low) / (high - low).clamp_min(1e-3)).clamp(0, 1)
    return torch.where(masks, stretched, 0.0)[:, None]


@dataclass
class SegmenterConfig:
    """OurSegNet, or the network that it is compared with."""

    size: int = 256
    """Side of pictures, pixels, a multiple of 16."""
    width: int = 64
    """Channels of the first block."""
    network: Literal["ours", "handsegnet"] = "ours"
    """Which: `nets.segmentation.SlimSegNet` or `HandSegNet`."""


@dataclass
class MaskedPictures:
    """B pictures (B, 3, S, S) in [0, 1] and their masks (B, S, S); a batch."""

    image: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, rows: slice) -> MaskedPictures:
        return MaskedPictures(self.image[rows], self.mask[rows])

    def to(self, device: torch.device) -> MaskedPictures:
        """The same on `device`."""
        return MaskedPictures(self.image.to(device), self.mask.to(device))


class HandSegmenter(Method):
    """Two stages of one architecture: a rough mask of the picture, and a fine one of the crop about it (Sec. 3.1).

    `network(images (B, 3, S, S))` gives masks (B, S, S) in 0 to 1. In training the fine stage sees crops about the true mask, moved and
    scaled a little.
    """

    def __init__(self, config: SegmenterConfig | None = None) -> None:
        super().__init__()
        self.config = config or SegmenterConfig()
        kind = SlimSegNet if self.config.network == "ours" else HandSegNet
        self.rough, self.fine = kind(self.config.width), kind(self.config.width)

    def forward(self, images: Tensor) -> Tensor:
        rough = self.rough(images).float() > 0
        boxes = mask_boxes(largest_parts(rough))
        size = images.shape[-1]
        inside = self.fine(cut(images, boxes, size)).float().sigmoid()
        back = torch.stack(
            (
                (size - 1) / 2 - (boxes[:, 0] - (size - 1) / 2) * size / boxes[:, 2],
                (size - 1) / 2 - (boxes[:, 1] - (size - 1) / 2) * size / boxes[:, 2],
                size**2 / boxes[:, 2],
            ),
            dim=1,
        )
        return cut(inside[:, None], back, size)[:, 0]

    def players(self) -> tuple[Player, ...]:
        """Either stage by itself."""
        stages: tuple[tuple[str, nn.Module, Losses], ...] = (
            ("rough", self.rough, self.rough_losses),
            ("fine", self.fine, self.fine_losses),
        )
        return tuple(Player(name, tuple(network.parameters()), losses) for name, network, losses in stages)

    def rough_losses(self, batch: MaskedPictures) -> dict[str, Tensor]:
        """Cross-entropy of the picture's pixels."""
        return {"mask": functional.binary_cross_entropy_with_logits(self.rough(batch.image).float(), batch.mask)}

    def fine_losses(self, batch: MaskedPictures) -> dict[str, Tensor]:
        """Cross-entropy of the crop's pixels."""
        boxes = mask_boxes(batch.mask > 0.5)
        noise = 2 * torch.rand_like(boxes) - 1
        side = boxes[:, 2:] * (1.1 + 0.15 * noise[:, 2:])
        boxes = torch.cat((boxes[:, :2] + 0.06 * noise[:, :2] * boxes[:, 2:], side), dim=1)
        size = batch.image.shape[-1]
        both = cut(torch.cat((batch.image, batch.mask[:, None]), dim=1), boxes, size)
        found = self.fine(both[:, :3]).float()
        return {"mask": functional.binary_cross_entropy_with_logits(found, both[:, 3].clamp(0, 1))}


def largest_parts(masks: Tensor) -> Tensor:
    """The largest connected part of each mask (B, H, W) bool."""
    import cv2

    kept = []
    for mask in masks.cpu().byte().numpy():
        _, labels, areas, _ = cv2.connectedComponentsWithStats(mask)
        largest = 1 + int(areas[1:, cv2.CC_STAT_AREA].argmax()) if len(areas) > 1 else -1
        kept.append(torch.from_numpy(labels == largest))
    return torch.stack(kept).to(masks.device)


def save_weights(network: RefinableNet, path: str | Path, hand: HandModel) -> None:
    """Write network and cloud for `load`. Raises InputError if the file cannot be written."""
    values = {name: getattr(network.config, name) for name in ARCHITECTURE}
    write_weights(path, network.state_dict(), METHOD, values, hand.checksum())


def load(path: str | Path, hand: HandModel | None = None, trainable: bool = False) -> RefinableNet:
    """The network with the weights and the cloud of `path`: ready for inference, or as it was, for training on. The package ships none.

    Raises:
        InputError: the file is at fault (`nets.weights.read_weights`), or its weights do not fit the network it names.
    """
    network = load_network(path, METHOD, (hand or HandModel.open_hand()).checksum(), _build)
    return network if trainable else network.eval().requires_grad_(False)


def _build(values: dict[str, Any]) -> RefinableNet:
    return RefinableNet(RefinableConfig(**{name: values[name] for name in ARCHITECTURE}))
