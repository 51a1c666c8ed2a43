"""The trainings of `phalanx train`, by the method's name: a method adds one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phalanx.train import (
    compact,
    dense_hand,
    depth_gan,
    depth_regularizer,
    detector,
    hand_finder,
    multi_view,
    refinable,
    sphere_fitting,
    temporal,
    tonality_gan,
)
from phalanx.train.run import Say


@dataclass(frozen=True)
class Training:
    """How a method is trained on synthesis."""

    about: str
    """One line for the command's help."""
    config: type
    """Dataclass of its settings; it has a `loop`."""
    run: Callable[[Any, str | Path, bool, Say], Path]
    """`run(settings, folder, resume, report)` gives the file of weights."""


TRAININGS = {
    "compact": Training("the default estimator, for colour pictures", compact.CompactTraining, compact.run),
    "dense_hand": Training(
        "surfaces from colour, out of joints and masks, with hands of its own making",
        dense_hand.DenseHandTraining,
        dense_hand.run,
    ),
    "depth_gan": Training("joints from colour, with drawn depth maps", depth_gan.DepthGANTraining, depth_gan.run),
    "depth_regularizer": Training(
        "joints from colour, with 2D joints and depth maps in place of 3D labels",
        depth_regularizer.DepthRegularizerTraining,
        depth_regularizer.run,
    ),
    "detector": Training("where hands are in colour pictures", detector.DetectorTraining, detector.run),
    "hand_finder": Training("where hands are in depth frames", hand_finder.HandFinderTraining, hand_finder.run),
    "multi_view": Training("joints from several calibrated views", multi_view.MultiViewTraining, multi_view.run),
    "refinable": Training(
        "angles from masked colour, refined on depth beside colour, and the hand's surface",
        refinable.RefinableTraining,
        refinable.run,
    ),
    "sphere_fitting": Training("spheres for depth frames", sphere_fitting.SphereFittingTraining, sphere_fitting.run),
    "temporal": Training(
        "joints and mesh from clips with 2D labels, by consistency forward and backward",
        temporal.TemporalTraining,
        temporal.run,
    ),
    "tonality_gan": Training(
        "rendered hands redrawn as photographs, out of edges and blurred colours",
        tonality_gan.TonalityTraining,
        tonality_gan.run,
    ),
}
