"""What sampled hands say of their spheres: lengths that hardly change, spheres that may not meet, and where the joints are.

Wan et al., "Self-supervised 3D hand pose estimation through training by fitting", CVPR 2019, keep distances of bones' ends in "predefined
ranges based on different skeleton sizes" (Eq. 14) and forbid collisions "between the j-th and k-th sphere" (Eq. 16); they list
neither pairs nor ranges. Here both come from hands sampled by `pose_space.sample_angles`, of all shapes:

- **Bones**: neighbours along a finger, all pairs in the palm, and each finger's first sphere with those spheres of the palm from
  which its distance, in proportion to the hand, varies by less than `_RIGID` of its mean. Ranges leave out the outermost half
  per cent on either side.
- **Collisions**: spheres of two fingers, and of a finger's outer half with the palm, unless more than `_OFTEN` of the sampled
  hands, whose fingers do not run through each other, have them overlap deeper than flesh gives way.
- **Joints**: spheres follow from joints but for the palm's side, so that joints follow from spheres by least squares; each
  joint from the spheres of its own finger and the palm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from phalanx.core.seeding import generator as stream_generator
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.pose_space import sample_angles
from phalanx.hand.skeleton import FINGERS, hand_scale
from phalanx.hand.spheres import FINGER_SPHERES, PALM, RADII, sphere_centres

_SEED, _SAMPLES = 20_261_121, 3_000
_RIGID = 0.7  # greatest less least distance, over the mean: more is no bone (hands differ in proportions, too)
_RANGE = (0.005, 0.995)  # quantiles taken for least and greatest
_OFTEN, _FLESH = 0.02, 0.004  # share of hands; metres
_RIDGE = 5e-4  # of the mean square of the spheres' places


@dataclass(frozen=True)
class SpherePriors:
    """Pairs are numbers of spheres, first the smaller; lengths in metres."""

    bones: Tensor  # (K, 2) int64
    shortest: Tensor  # (K,)
    longest: Tensor  # (K,)
    apart: Tensor  # (C, 2) int64: pairs that may not collide
    joints: Tensor  # (21, 41) shares of the spheres in each joint; rows sum to 1


def sample_joints(generator: np.random.Generator, count: int) -> Tensor:
    """Joints `(count, 21, 3)` in metres of sampled hands in the hand frame: all poses, all shapes; wrists bent too."""
    model = HandModel.open_hand()
    pose = HandPose.zero(count)
    pose.rotations = angles_to_rotations(torch.as_tensor(sample_angles(generator, count), dtype=torch.float32))
    pose.shape = torch.as_tensor(generator.normal(0, 1.15, (count, 10)).clip(-3, 3), dtype=torch.float32)
    with torch.no_grad():
        return model.joints(pose)


def joints_of_spheres(centres: Tensor) -> Tensor:
    """Joints `(..., 21, 3)` of hands whose spheres are at `centres` `(..., 41, 3)`; commutes with rigid motions and scale."""
    return sphere_priors().joints.to(centres) @ centres


@lru_cache(maxsize=1)
def sphere_priors() -> SpherePriors:
    """Pairs, ranges and joints from a fixed sample of hands; takes a second the first time."""
    joints = sample_joints(stream_generator(_SEED), _SAMPLES)
    centres = sphere_centres(joints)  # (N, 41, 3)
    distance = torch.cdist(centres, centres)
    bones = _bones(distance / hand_scale(joints)[:, None, None])
    shortest, longest = torch.quantile(
        distance[:, bones[:, 0], bones[:, 1]], torch.tensor(_RANGE, dtype=torch.float32), 0
    )
    return SpherePriors(bones, shortest, longest, _apart(distance), _joint_shares(centres, joints))


def _bones(distance: Tensor) -> Tensor:
    pairs = [(a, b) for finger in FINGER_SPHERES for a, b in pairwise(finger)]
    pairs += [(a, b) for a in PALM for b in PALM if a < b]
    roots = torch.tensor([(a, finger[0]) for finger in FINGER_SPHERES for a in PALM])
    length = distance[:, roots[:, 0], roots[:, 1]]
    shortest, longest = torch.quantile(length, torch.tensor(_RANGE, dtype=torch.float32), 0)
    return torch.cat([torch.tensor(pairs), roots[longest - shortest < _RIGID * length.mean(0)]])


def _apart(distance: Tensor) -> Tensor:
    radii = torch.tensor(RADII, dtype=torch.float32)
    fingers = range(len(FINGER_SPHERES))
    pairs = [(a, b) for i in fingers for j in fingers if i < j for a in FINGER_SPHERES[i] for b in FINGER_SPHERES[j]]
    pairs += [(a, b) for finger in FINGER_SPHERES for a in PALM for b in finger[3:]]
    chosen = torch.tensor(pairs)
    depth = radii[chosen[:, 0]] + radii[chosen[:, 1]] - distance[:, chosen[:, 0], chosen[:, 1]]
    return chosen[(depth > _FLESH).float().mean(0) < _OFTEN]


def _joint_shares(centres: Tensor, joints: Tensor) -> Tensor:
    shares = torch.zeros(21, centres.shape[1], dtype=torch.float64)
    origin = centres[:, :1]
    for joint in range(21):
        finger = next((k for k, own in enumerate(FINGERS) if joint in own), None)
        used = list(PALM) if finger is None else [*PALM, *FINGER_SPHERES[finger]]
        # About sphere 0, so that what is left of 1 is its share: rows sum to 1.
        rest = used[1:]
        rows = (centres[:, rest] - origin).double().transpose(1, 2).flatten(0, 1)  # (3 N, R)
        wanted = (joints[:, joint] - origin[:, 0]).double().flatten()
        normal = rows.T @ rows
        normal += _RIDGE * normal.diagonal().mean() * torch.eye(len(rest), dtype=torch.float64)
        shares[joint, rest] = torch.linalg.solve(normal, rows.T @ wanted)
        shares[joint, used[0]] = 1 - shares[joint, rest].sum()
    return shares.float()
