"""How scores of each protocol are shown in tables and plots."""

from __future__ import annotations

from dataclasses import dataclass, replace

from phalanx.evaluate.nyu import TEST_FRAMES


@dataclass(frozen=True)
class Kind:
    """How scores of one protocol are shown.

    Attributes:
        columns: of the table: heading, key, decimals.
        curve: key of the curve; empty where there is none.
        x_label, y_label: of its axes.
        legend: what the plot says of a method; figures by key.
        thresholds: key of the curve's thresholds.
        dataset: name of the set in `published`; empty: the protocol's name.
        expected: how many frames or pictures the whole set has, where scores may be of fewer without saying so.
    """

    columns: tuple[tuple[str, str, int], ...]
    curve: str
    x_label: str
    y_label: str
    legend: str
    thresholds: str = "thresholds_mm"
    dataset: str = ""
    expected: int | None = None


_COLOUR_SET = Kind(
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
)

_PHOTOS = Kind(
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

_TIPS = Kind(
    (
        ("mean (mm)", "mean_mm", 2),
        ("median (mm)", "median_mm", 2),
        ("AUC 20-50", "auc_20_50", 3),
        ("missed", "missed", 0),
    ),
    "joints_within",
    "error threshold (mm)",
    "fingertips within (%)",
    "{name} (AUC 20-50 {auc_20_50:.3f})",
)

_GESTURES = Kind(
    (
        ("gestures told, ten folds (%)", "classification_accuracy_percent", 1),
        ("from", "classification_accuracy_percent_low", 1),
        ("to", "classification_accuracy_percent_high", 1),
        ("persons left out (%)", "classification_accuracy_percent_persons_left_out", 1),
        ("by chance (%)", "chance_percent", 1),
        ("missed", "missed", 0),
    ),
    curve="",
    x_label="",
    y_label="",
    legend="{name}",
)

KINDS = {
    "dexter_object": _TIPS,
    "rhd": _COLOUR_SET,
    "stb": _COLOUR_SET,
    "mhp": _COLOUR_SET,
    "stb_sk": replace(_COLOUR_SET, dataset="stb"),
    "freihand": replace(
        _COLOUR_SET,
        columns=(
            ("mean (mm)", "mean_mm", 2),
            ("scaled (mm)", "mean_mm_scaled", 2),
            ("aligned (mm)", "mean_mm_aligned", 2),
            ("AUC 0-50", "auc_0_50", 3),
            ("AUC scaled", "auc_0_50_scaled", 3),
            ("AUC aligned", "auc_0_50_aligned", 3),
            ("mesh (mm)", "mesh_mean_mm", 2),
            ("mesh aligned (mm)", "mesh_mean_mm_aligned", 2),
            ("F@5", "f_5_mm", 3),
            ("F@15", "f_15_mm", 3),
            ("F@5 aligned by joints", "f_5_mm_aligned_by_joints", 3),
            ("F@15 aligned by joints", "f_15_mm_aligned_by_joints", 3),
            ("missed", "missed", 0),
        ),
    ),
    "nyu": Kind(
        (
            ("mean (mm)", "mean_mm", 2),
            ("median (mm)", "median_mm", 2),
            ("first subject (mm)", "mean_first_subject_mm", 2),
            ("second subject (mm)", "mean_second_subject_mm", 2),
            ("frames within 20 mm (%)", "within_20_percent", 1),
            ("frames within 40 mm (%)", "within_40_percent", 1),
        ),
        "frames_with_max_error_within",
        "error threshold (mm)",
        "frames with all joints within (%)",
        "{name} ({mean_mm:.2f} mm)",
        expected=TEST_FRAMES,
    ),
    "hgr": Kind(
        (
            ("tips, fitted (px² of 225x225)", "fingertip_squared_error_px2", 1),
            ("tips as seen (px²)", "fingertip_squared_error_px2_as_seen", 1),
            ("mask IoU", "mask_iou", 3),
            ("mask F1", "mask_f1", 3),
            ("missed", "missed", 0),
        ),
        "tips_within",
        "error threshold (pixels of 225)",
        "labelled fingertips within (%)",
        "{name} ({fingertip_median_px_as_seen:.1f} px median)",
        "thresholds_px",
        expected=1558,
    ),
    "gestures_rwth": replace(_GESTURES, dataset="rwth"),
    "gestures_senz3d": replace(_GESTURES, dataset="senz3d"),
    "gestures_folders": _GESTURES,
    "photos3d": _PHOTOS,
    "synth": _PHOTOS,
}
"""By protocol."""
