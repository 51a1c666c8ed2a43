"""Whether fitting to recordings lowered the error: what can be measured without labels before and after, and why it did not.

Joints of recordings are not known. Measured is what a better network must do better, on frames that it was not trained on: spheres must lie
where the depth is; joints must lie where another network, the finder of hands, sees them, and palms must face as it sees them; cameras must
see one hand in one place; and on labelled synthetic frames joints must not have become worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from phalanx.adapt.recordings import Recording
from phalanx.data.cube_views import CubeViews
from phalanx.geometry.alignment import moved
from phalanx.hand.skeleton import FINGERS
from phalanx.hand.sphere_priors import joints_of_spheres
from phalanx.methods.sphere_fitting import SphereFittingEstimator
from phalanx.predict.depth_search import fit_to_maps, spread

Measured = Mapping[str, Mapping[str, float]]
"""What `Judge.measure` gives."""

_WATCHED = 128  # maps of each kind that are measured
_BATCH = 32  # maps that a network sees at once
_HELD_BACK = 8  # one frame of so many is not trained on
_LEAST_FRAMES = 16  # of fewer all are trained on
_TURNED = 60.0  # degrees between palms from which two networks see different hands
_LESS = 0.97  # share of the error before, from which down it is lowered
_SMALL = 5.0  # millimetres: an error that good sensors and networks have
_SEEN = 5_000  # maps, recorded and synthetic, below which a network hardly changes
_FEW = 64  # frames
_NEARER = 0.9  # share of the joints' distance before, from which down they have come nearer
_MANY = 20.0  # per cent of frames


class Judge:
    """What is learnt from and what is held back of a recording, and what networks make of both."""

    def __init__(self, recording: Recording) -> None:
        learn, held = hold_back(len(recording.views))
        self.held = len(held)
        """Number of frames held back."""
        self.learnt = recording.views[learn]
        """The others."""
        self._frames, self._unsure = len(recording.views), recording.unsure
        most = max(1, _WATCHED // recording.views.maps.shape[1])
        chosen = {"learnt": spread(learn, most), "judged": spread(held or learn, most)}
        self._parts = {name: (recording.views[rows], recording.guesses[rows]) for name, rows in chosen.items()}

    def measure(self, network: SphereFittingEstimator) -> dict[str, dict[str, float]]:
        """Figures of frames learnt from, `learnt`, and of those held back, `judged`; if there are none, of the same."""
        return {name: measure(network, *part) for name, part in self._parts.items()}

    def fit_error(self, network: SphereFittingEstimator) -> float:
        """Of `judged`, mm."""
        return measure(network, *self._parts["judged"])["fit_error_mm"]

    def verdict(
        self, before: Measured, after: Measured, synthetic: Sequence[float], seen: float
    ) -> tuple[bool, list[str]]:
        """As `verdict`, of what `measure` gave."""
        learnt = [figures["learnt"]["fit_error_mm"] for figures in (before, after)]
        judged = before["judged"], after["judged"]
        return verdict(*judged, learnt, synthetic, self._frames, self.held, self._unsure, seen)


def hold_back(count: int) -> tuple[list[int], list[int]]:
    """Numbers of the frames to learn from, and of those held back: the last ones, for neighbours in time are too much alike."""
    first = count - (count // _HELD_BACK if count >= _LEAST_FRAMES else 0)
    return list(range(first)), list(range(first, count))


@torch.no_grad()
def measure(network: SphereFittingEstimator, views: CubeViews, guesses: Tensor) -> dict[str, float]:
    """How well a network does on frames without labels.

    Args:
        network: on any device.
        views: the frames, on the CPU.
        guesses: `(F, V, 21, 3)` joints as the finder of hands expects them, metres, cube frame.

    Returns:
        `fit_error_mm` and `agreement_percent` as `fit_to_maps` has them; `turned_percent`, of hands whose palms the finder sees turned by
        more than 60 degrees from there; `from_finder_mm`, how far joints lie from where it sees them; and of several views `apart_mm`, how
        far from their mean cameras see a joint.
    """
    maps = views.maps.flatten(0, 1).float()
    centres = torch.cat([network(part.to(network.radii.device)).cpu() for part in maps.split(_BATCH)])
    errors, agreement, _ = fit_to_maps(centres, maps)
    joints = joints_of_spheres(centres).unflatten(0, views.maps.shape[:2])
    figures = {
        "fit_error_mm": 1000 * float(errors.mean()),
        "agreement_percent": 100 * float(agreement.mean()),
        "turned_percent": 100 * float((_apart(_palms(joints), _palms(guesses)) > _TURNED).float().mean()),
        "from_finder_mm": 1000 * float((joints - guesses).norm(dim=-1).mean()),
    }
    if joints.shape[1] > 1:
        seen = moved(views.to_first.float(), joints)
        figures["apart_mm"] = 1000 * float((seen - seen.mean(1, keepdim=True)).norm(dim=-1).mean())
    return figures


def _palms(joints: Tensor) -> Tensor:
    """Axes `(..., 3, 3)` of palms, as columns: along the palm, out of it, and across."""
    index, middle, little = (joints[..., FINGERS[number][0], :] - joints[..., 0, :] for number in (1, 2, 4))
    along = torch.nn.functional.normalize(middle, dim=-1)
    out = torch.nn.functional.normalize(torch.linalg.cross(index, little), dim=-1)
    out = torch.nn.functional.normalize(out - (out * along).sum(-1, keepdim=True) * along, dim=-1)
    return torch.stack([along, out, torch.linalg.cross(along, out)], -1)


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """Angles in degrees between rotations `(..., 3, 3)`."""
    cosine = 0.5 * ((one * other).sum((-1, -2)) - 1)
    return torch.rad2deg(cosine.clamp(-1, 1).acos())


def verdict(
    before: Mapping[str, float],
    after: Mapping[str, float],
    learnt: Sequence[float],
    synthetic: Sequence[float],
    frames: int,
    held_back: int,
    unsure: int,
    seen: float,
) -> tuple[bool, list[str]]:
    """Whether the error was lowered, and sentences that say by how much, what speaks against it, and why it was not.

    Args:
        before, after: what `measure` gives of the frames held back (of all if there are none).
        learnt: fit error in mm of the frames that were trained on, before and after.
        synthetic: joint error in mm of labelled synthetic frames, before and after; empty: there are none.
        frames, held_back, unsure: numbers of frames that were used, of those of them that were held back, and of those that look
            more like the other side.
        seen: maps that were trained on.
    """
    one, two = before["fit_error_mm"], after["fit_error_mm"]
    near, nearer = before["agreement_percent"], after["agreement_percent"]
    lowered = two < _LESS * one and nearer > near - 1
    whose = (
        f"{held_back} frames that were not trained on"
        if held_back
        else "the frames that were trained on, too few to hold any back"
    )
    lines = [
        f"{'lowered' if lowered else 'not lowered'}: on {whose}, spheres and depth differ by {one:.1f} mm before and {two:.1f} mm "
        f"after, and {near:.0f} and {nearer:.0f} % of the spheres' surface lie within 1 cm of it"
    ]
    if "apart_mm" in after:
        lines.append(
            f"cameras see a joint {before['apart_mm']:.1f} mm from its mean before and {after['apart_mm']:.1f} mm after"
        )
    off, less = before["from_finder_mm"], after["from_finder_mm"]
    line = f"joints lie {off:.1f} mm from where the finder of hands sees them before and {less:.1f} mm after"
    if less > _NEARER * off:
        line += ", not a tenth nearer: " + ("; ".join(_far_joints(after, frames, seen)) or "no reason is known")
    lines.append(line)
    if not lowered:
        lines.append(
            f"why: {'; '.join(_reasons(one, learnt, frames, held_back, seen)) or 'no reason is known, see adapted.png'}"
        )
    if after["turned_percent"] > _MANY or after["turned_percent"] > before["turned_percent"] + 5:
        lines.append(
            f"{after['turned_percent']:.0f} % of the hands ({before['turned_percent']:.0f} % before) may be taken for turned ones, for the "
            "finder sees their palms otherwise: fitting does not turn them back, and their joints stay wrong"
        )
    if 100 * unsure > _MANY * frames:
        lines.append(f"{unsure} of {frames} frames look more like the other hand: give --side if that is known")
    if synthetic and synthetic[1] > 1.1 * synthetic[0]:
        lines.append(
            f"on labelled synthetic frames joints are {synthetic[0]:.1f} mm off before and {synthetic[1]:.1f} mm after: the network "
            "fits these recordings at the cost of others"
        )
    return lowered, lines


def _far_joints(after: Mapping[str, float], frames: int, seen: float) -> list[str]:
    """What keeps joints away, where spheres may have come nearer to the depth."""
    reasons = []
    if after["turned_percent"] >= 1:
        turned = f"{after['turned_percent']:.0f} % of the hands may be taken for turned ones"
        reasons.append(f"{turned}, which fitting does not turn back")
    if "apart_mm" not in after:
        reasons.append("one view does not show where hidden joints are")
    if seen < _SEEN:
        reasons.append(f"only {seen:.0f} maps were trained on, give more --minutes")
    if frames < _FEW:
        reasons.append(f"{frames} frames are few")
    return reasons


def _reasons(before: float, learnt: Sequence[float], frames: int, held_back: int, seen: float) -> list[str]:
    reasons = []
    if seen < _SEEN:
        reasons.append(f"only {seen:.0f} maps were trained on, give more --minutes")
    if before < _SMALL:
        reasons.append(f"{before:.1f} mm is about what a sensor's noise and the spheres' shape leave")
    if held_back and learnt[1] < _LESS * learnt[0]:
        reasons.append(
            f"on the frames that were trained on it fell from {learnt[0]:.1f} to {learnt[1]:.1f} mm: those held back show something else"
        )
    if frames < _FEW:
        reasons.append(f"{frames} frames are few")
    return reasons
