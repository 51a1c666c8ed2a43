"""The default estimator on one's own pairs of colour and depth: `phalanx adapt rgbd` learns from depth, without labels.

The terms stand in `adapt.rgbd_method`, after Dibra et al. 2018. Depth alone folds fingers and turns palms (docs/refinable.md). So it is one
small term among others: half of every step is synthesis, the palm's orientation is not moved by depth, joints that the estimator was
sure of must stay, and rates are low. An eighth of the hands is held back and decides: where depth does not come nearer there, or what
was known is lost, the estimator stays as it was.
"""

from __future__ import annotations

import copy
import hashlib
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from phalanx.adapt.budget import Ticker
from phalanx.adapt.colour_model import model_and_folder, write_model
from phalanx.adapt.rehearsal import rehearsal
from phalanx.adapt.report import hold_back
from phalanx.adapt.rgbd_method import RgbdFeed, RgbdMethod, rgbd_batch
from phalanx.adapt.rgbd_pairs import RgbdFiles, RgbdHands, RgbdPairs, read_pairs
from phalanx.core.devices import as_device
from phalanx.core.errors import InputError
from phalanx.core.files import write_json
from phalanx.data.sample import Sample
from phalanx.geometry.rotations import rotmat_angle
from phalanx.hand.export import save_mesh
from phalanx.hand.prediction import HandPrediction
from phalanx.methods.compact import METHOD, CompactEstimator, load_trainable
from phalanx.nets.export import MOST_PICTURES
from phalanx.nets.weights import shipped_weights
from phalanx.predict.predictor import Predictor
from phalanx.train.card import NO_LICENCE, Source, begun_from, synthesis
from phalanx.train.checkpoint import check_no_run
from phalanx.train.compact import figures as synthetic_figures
from phalanx.train.compact import held_out, synthetic_feed
from phalanx.train.feed import MixedFeed
from phalanx.train.loop import train
from phalanx.train.plan import LoopConfig, Phase, Stage, check_config
from phalanx.view.samples import depth_picture, draw_joints, sheet, write_sheet

_SHOWN = 6  # hands in the picture
_WATCHED = 64  # hands, at most, that are measured during training
_LESS = 0.99  # share of the error of depth before, from which down it has come nearer
_WORSE = 1.05  # share of an error before, up to which it has not become worse

See = Callable[..., list[HandPrediction]]


def _loop() -> LoopConfig:
    return LoopConfig(
        minutes=10.0,
        learning_rate=1e-4,
        kernel_rate=1e-3,
        warmup=500,
        average=2_000,
        evaluate_every=2_000,
        checkpoint_minutes=0.5,
    )


@dataclass
class RgbdAdaptation:
    """How the default estimator is fitted to pairs of colour and depth."""

    loop: LoopConfig = field(default_factory=_loop)
    """Budget, schedule, optimiser, device; the budget in minutes is for everything."""
    hands: int = 24
    """The user's hands in a step."""
    synthetic: int = 24
    """Synthetic hands in a step."""
    depth_weight: float = 5.0
    """Factor of Eq. 5, a mean over pixels: the term is then less than a tenth of all others together."""
    limits_weight: float = 0.1
    """Factor of the excess over the limits of the fingers' angles."""
    own_weight: float = 1.0
    """Factor of the losses on the estimator's own sure joints."""
    buffer: int = 1_024
    """Synthetic hands made at a time,"""
    reuse: int = 4
    """and how often each is learnt from."""
    workers: int = 0
    """Processes that make them; 0: this one."""
    held_out: int = 128
    """Synthetic hands that tell what was forgotten."""


def adapt_rgbd(
    files: RgbdFiles,
    out: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    config: RgbdAdaptation | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
    complain: Callable[[str], object] = print,
    progress: Callable[[int, int], None] = lambda done, total: None,
    see: See | None = None,
) -> dict[str, Any]:
    """Fit the default estimator to pairs of colour and depth and write it as the model `out`, an ONNX file for `Predictor`.

    Beside `mine.onnx` lie `mine.safetensors`, the weights for PyTorch and for going on, `mine.json`, their card, and a folder `mine/` with
    `adapted.json` (what was done, figures before and after), `adapted.png`, `surface.obj` and `run/`, which a killed run goes on from.

    Args:
        files: the pairs.
        out: the model; `.onnx` is added where the name does not end so.
        weights: to begin with (default: those in the package).
        config: how it is fitted (default: ten minutes).
        resume: go on with a run that was killed.
        say: is given lines about how it goes.
        complain: is given a sentence for everything that is passed over.
        progress: is given the seconds that are gone, and those of the budget, unless that is one in pictures.
        see: finds hands in colour, as `Predictor` (default: one with `weights`).

    Returns:
        What `adapted.json` holds.

    Raises:
        InputError: the budget makes no sense or is gone once pairs are read, there is no such device, files cannot be written, or see
            `read_pairs` and `train.loop.train`.
    """
    config = config or RgbdAdaptation()
    least = min(config.workers, config.depth_weight, config.limits_weight, config.own_weight)
    if config.hands < 2 or config.synthetic < 1 or least < 0:
        raise InputError(
            "adapt: needs at least two hands and a synthetic one a step; workers and weights must not be negative"
        )
    model_path, folder = model_and_folder(out)
    device = as_device(config.loop.device)
    tick = Ticker(config.loop, progress)
    begun = shipped_weights(METHOD) if weights is None else Path(weights)
    first = load_trainable(begun).eval().to(device)
    phases = [Phase(1.0, first.config.size, config.hands + config.synthetic, config.reuse)]
    check_config(config.loop, phases)  # before the minutes that reading takes
    check_no_run(folder / "run", resume)
    start = begun_from(begun)
    pairs = read_pairs(files, see or Predictor(None if weights is None else begun), complain, tick)
    for line in said(pairs):
        say(line)
    learn, held = hold_back(len(pairs.hands))
    while held and pairs.hands.names[held[0]] == pairs.hands.names[learn[-1]]:  # no picture is on both sides
        learn.append(held.pop(0))
    learnt, judged = pairs.hands[learn], pairs.hands[held or learn]
    method = RgbdMethod(
        copy.deepcopy(first), pairs.hand_length, config.depth_weight, config.limits_weight, config.own_weight
    )
    before_method = copy.deepcopy(method).eval().to(device)
    synthetic = rehearsal(first.config, config.workers, config.buffer, config.held_out)
    kept_out = cache(partial(held_out, synthetic))
    before = measure(before_method, first, judged, kept_out())
    say(f"splats of the posed hand and of depth differ by {before['depth_error']:.2f} thousandths before")
    shown = _spread(judged, _SHOWN)
    write_sheet(folder / "adapted.png", picture(shown, before_method, before_method))

    def watch(present: nn.Module, size: int) -> dict[str, float]:
        assert isinstance(present, RgbdMethod)
        write_sheet(folder / "adapted.png", picture(shown, before_method, present))
        return measure(present, first, _spread(judged, _WATCHED), kept_out())

    loop = config.loop
    if math.isfinite(tick.seconds):
        loop = replace(loop, minutes=tick.left() / 60)

    def feed() -> MixedFeed:
        feeds: dict[str, Any] = {"rgbd": RgbdFeed(learnt, loop.seed, tick), "synthetic": synthetic_feed(synthetic)}
        return MixedFeed(feeds, {"rgbd": config.hands, "synthetic": config.synthetic})

    names = ("hands", "synthetic", "depth_weight", "limits_weight", "own_weight", "buffer", "reuse")
    settings = {name: getattr(config, name) for name in names}
    fixed = {"pairs": _checksum(learnt), "hand_length": pairs.hand_length, "start": start, **settings}
    about = {"adaptation": asdict(config)}
    average = train(
        method, [Stage("adaptation", loop, phases, feed, watch)], folder / "run", resume, say, None, fixed, about
    )
    assert isinstance(average, RgbdMethod)
    after = measure(average, first, judged, kept_out())
    kept, why = verdict(before, after, len(held))
    chosen = average if kept else before_method
    shape = mean_shape(chosen, pairs.hands)
    figures = {
        **pairs.counts,
        "skipped": pairs.skipped,
        "camera": "known"
        if pairs.calibrated
        else "not known: depth shapes the hand, its size in metres is the likeliest",
        "hand_length": pairs.hand_length,
        "shape": [round(value, 3) for value in shape.tolist()],
        "held_back": len(held),
        "before": before,
        "after": after,
        "adapted": kept,
        "verdict": why,
        "minutes": tick.elapsed / 60,
    }
    save_mesh(folder / "surface.obj", [average.surface(shape)])
    write_sheet(folder / "adapted.png", picture(shown, before_method, average))
    data = [_source(Path(files.folder), pairs), synthesis(synthetic.synth, "all")]
    own = rgbd_batch(_spread(judged, MOST_PICTURES // 2), first.config.size).sample.image
    assert own is not None
    write_model(chosen.estimator, model_path, data, start, about, figures, own, kept_out())
    write_json(folder / "adapted.json", figures, indent=1)
    for line in why:
        say(line)
    say(
        f"-> {model_path}, {model_path.with_suffix('.safetensors').name}, {folder.name}/adapted.png, {folder.name}/adapted.json"
    )
    return figures


@torch.no_grad()
def measure(method: RgbdMethod, first: CompactEstimator, hands: RgbdHands, synthetic: Sample) -> dict[str, float]:
    """How well a network does without labels, and on synthesis.

    Returns:
        `depth_error`, Eq. 5 in thousandths of the cube's side, a mean over pixels; `own_2d_px_of_256`, how far joints lie from those that
        the estimator was sure of; `turned_deg`, how far palms are from where the estimator `first` sees them; and `synthetic_` figures.
    """
    method.eval()
    device, size = method.offsets.device, method.estimator.config.size
    errors, apart, turned = [], [], []
    for begin in range(0, len(hands), 32):
        rows = list(range(begin, min(begin + 32, len(hands))))
        batch = rgbd_batch(hands[rows], size).to(device)
        assert batch.sample.image is not None and batch.sample.joints_2d is not None
        found, old = method.estimator(batch.sample.image), first.eval()(batch.sample.image)
        made, true = method.maps(found, batch.points)
        errors.append((made - true).abs().mean((1, 2)))
        known = torch.from_numpy(np.isfinite(hands.joints[rows]).all(-1)).to(device)
        apart.append((found.joints_2d - (batch.sample.joints_2d + 0.5) / size).norm(dim=-1)[known])
        turned.append(rotmat_angle(found.orientation, old.orientation).rad2deg())
    sure = torch.cat(apart)
    return {
        "depth_error": 1000 * float(torch.cat(errors).mean()),
        "own_2d_px_of_256": 256 * float(sure.mean()) if len(sure) else 0.0,
        "turned_deg": float(torch.cat(turned).mean()),
    } | {f"synthetic_{name}": value for name, value in synthetic_figures(method.estimator, synthetic).items()}


def verdict(before: Mapping[str, float], after: Mapping[str, float], held_back: int) -> tuple[bool, list[str]]:
    """Whether the adapted estimator is taken, and sentences that say why."""
    one, two = before["depth_error"], after["depth_error"]
    whose = (
        f"{held_back} hands that were not learnt from"
        if held_back
        else "the hands learnt from, too few to hold any back"
    )
    lines = [
        f"on {whose}, splats of the posed hand and of depth differ by {one:.2f} thousandths before and {two:.2f} after"
    ]
    reasons = []
    if two > _LESS * one:
        reasons.append("depth did not come nearer")
    for name, what in (
        ("own_2d_px_of_256", "joints moved from where the estimator was sure of them"),
        ("synthetic_2d_px_of_256", "joints of synthetic hands became worse"),
        ("synthetic_orientation_deg", "palms of synthetic hands were turned"),
        ("synthetic_rotations_deg", "fingers of synthetic hands became worse"),
    ):
        if name in before and after[name] > _WORSE * before[name] + 0.1:
            reasons.append(f"{what} ({before[name]:.1f} before, {after[name]:.1f} after)")
    if reasons:
        lines.append(f"the estimator stays as it was: {'; '.join(reasons)}")
    return not reasons, lines


@torch.no_grad()
def mean_shape(method: RgbdMethod, hands: RgbdHands) -> torch.Tensor:
    """(10,) mean of the shapes that are seen, standard deviations."""
    device, size, shapes = method.offsets.device, method.estimator.config.size, []
    for begin in range(0, len(hands), 32):
        part = rgbd_batch(hands[list(range(begin, min(begin + 32, len(hands))))], size).sample.image
        assert part is not None
        shapes.append(method.eval().estimator(part.to(device)).shape.cpu())
    return torch.cat(shapes).mean(0)


@torch.no_grad()
def picture(hands: RgbdHands, before: RgbdMethod, after: RgbdMethod) -> np.ndarray:
    """As Fig. 6, a column a hand: input with joints, depth, its splats; synthesised splats and error, before and after; joints after."""
    size, device = before.estimator.config.size, before.offsets.device
    batch = rgbd_batch(hands, size).to(device)
    assert batch.sample.image is not None
    inputs = [(image.permute(1, 2, 0).cpu().numpy() * 255).round().astype(np.uint8) for image in batch.sample.image]
    side = 128
    rows: list[list[np.ndarray]] = [[], [depth_picture(_large(depth, side)) for depth in hands.depth], []]
    last: list[np.ndarray] = []
    for method in (before, after):
        found = method.eval().to(device).estimator(batch.sample.image)
        made, true = (maps.cpu().numpy() for maps in method.maps(found, batch.points))
        pixels = (found.joints_2d * size - 0.5).cpu().numpy()
        drawn = [_large(draw_joints(tile, pose, 2), side) for tile, pose in zip(inputs, pixels, strict=True)]
        if method is before and not rows[0]:
            rows[0], rows[2] = drawn, [_grey(each, side) for each in true]
        last = drawn
        rows += [
            [_grey(each, side) for each in made],
            [_grey(3 * abs(a - b), side) for a, b in zip(made, true, strict=True)],
        ]
    return sheet([tile for row in [*rows, last] for tile in row], len(hands))


def _grey(values: np.ndarray, side: int) -> np.ndarray:
    return _large(np.repeat((255 * values.clip(0, 1)).astype(np.uint8)[..., None], 3, axis=2), side)


def _large(values: np.ndarray, side: int) -> np.ndarray:
    """(side, side) of a square picture, each pixel the nearest."""
    places = ((np.arange(side) + 0.5) * len(values) / side).astype(int)
    return values[places][:, places]


def _spread(hands: RgbdHands, most: int) -> RgbdHands:
    return hands[np.unique(np.linspace(0, len(hands) - 1, min(most, len(hands))).round().astype(int)).tolist()]


def said(pairs: RgbdPairs) -> list[str]:
    """Lines about what was read."""
    counts = pairs.counts
    size = f"the hand is {1000 * pairs.hand_length:.0f} mm long"
    if not pairs.calibrated:
        size = f"without a camera the hand is taken to be {1000 * pairs.hand_length:.0f} mm long, the likeliest"
    return [
        f"{counts['pictures']} pictures, {len(pairs.hands)} hands with depth; {len(pairs.skipped)} passed over, "
        f"{counts['hands with too few readings']} hands with too few readings; {size}"
    ]


def _checksum(hands: RgbdHands) -> str:
    """Of what is learnt from, so that a run goes on with the same."""
    digest = hashlib.sha256("\n".join(hands.names).encode())
    for values in (hands.tiles, hands.joints, hands.depth, hands.spread):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _source(folder: Path, pairs: RgbdPairs) -> Source:
    """The user's pairs, for the card."""
    return {
        "kind": "a user's pictures",
        "folder": folder.resolve().name,
        "pictures": len(set(pairs.hands.names)),
        "licence": NO_LICENCE,
        "labels": f"depth of {len(pairs.hands)} hands",
    }
