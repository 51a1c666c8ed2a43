"""How scores of a protocol are shown in tables, plots and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Kind:
    """How scores of one protocol are shown.

    Attributes:
        columns: of the table: heading, key, decimals.
        curve: key of the curve; empty if there is none.
        x_label, y_label: of its axes.
        legend: what the plot calls a method; figures by key.
        thresholds: key of the curve's thresholds.
        dataset: name of the set in `published`; empty: the protocol's name.
        expected: how many frames or pictures the whole set has, if scores do not say themselves whether they are of all.
        variants: how figures are scored, by the ending of their keys: a word that tells them apart in a table, and a sentence.
        crops: where the pictures' crops come from, in runs of the default estimator; empty: nothing to say.
        remark: how figures are scored, if no paper prints figures on the set.
        own_synthesis: the pictures are like those that the default estimator was trained on.
    """

    columns: tuple[tuple[str, str, int], ...]
    curve: str = ""
    x_label: str = ""
    y_label: str = ""
    legend: str = "{name}"
    thresholds: str = "thresholds_mm"
    dataset: str = ""
    expected: int | None = None
    variants: Mapping[str, tuple[str, str]] = field(default_factory=lambda: {"": ("", "")})
    crops: str = ""
    remark: str = ""
    own_synthesis: bool = False


TRUE_CROPS = "crops come from the true joints"
"""`Kind.crops` of protocols that cut hands out around their true joints."""

COLOUR_SET = Kind(
    (
        ("mean (mm)", "mean_mm", 2),
        ("median (mm)", "median_mm", 2),
        ("AUC 0-50", "auc_0_50", 3),
        ("AUC 20-50", "auc_20_50", 3),
        ("missed", "missed", 0),
    ),
    "joints_within",
    "error threshold (mm)",
    "joints within (%)",
    "{name} (AUC 0-50 {auc_0_50:.3f})",
    crops=TRUE_CROPS,
)
"""Of public sets of colour pictures, scored by joints in millimetres."""

PHOTOS = Kind(
    (
        ("2D (px of 256)", "epe_2d_px", 1),
        ("root-relative, scaled (mm)", "epe_3d_root_scaled_mm", 1),
        ("Procrustes (mm)", "epe_3d_procrustes_mm", 1),
        ("AUC 0-50", "auc_0_50", 3),
        ("AUC 20-50", "auc_20_50", 3),
        ("missed", "missed", 0),
    ),
    "joints_within",
    "error threshold (mm), root-relative and scaled",
    "joints within (%)",
    "{name} (AUC 0-50 {auc_0_50:.3f})",
)
"""Of scores with the figures of `photos3d`."""

PCK_FILES = Kind(
    (
        ("AUC 0-50", "auc_0_50", 3),
        ("AUC 20-50", "auc_20_50", 3),
        ("within 20 mm (%)", "within_20_percent", 1),
        ("within 40 mm (%)", "within_40_percent", 1),
    ),
    "joints_within",
    "error threshold (mm)",
    "joints within (%)",
    "{name} (AUC 0-50 {auc_0_50:.3f})",
    remark="curves read from files, which do not say how they were scored",
)
"""Of published PCK curves alone; beside scores they are shown as these are."""
