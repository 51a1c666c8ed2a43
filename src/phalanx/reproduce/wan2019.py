"""The tables of Wan et al. 2019 (Table 1, own rows of Table 2; Fig. 5 to 7), made again: `phalanx reproduce wan2019`.

What stands in for NYU, which cannot be shipped: depth of the domain `field`, seen by three cameras, whose shapes and sensors the source,
`studio`, lacks, as NYU's people and cameras were unknown to theirs. Who has NYU gives its folder, and the rows run on its splits
(`reproduce.nyu`). All else is as in the paper, at a scale of one's choice:

- **Rows**: names as printed, and two of ours: "supervised", an upper bound, is the start, trained on labels of the same frames for as
  long; "longer start" is the start, trained on with the labelled synthetic frames that are mixed into fitting, and nothing else.
- **Starts** are shared: they lie in the cache (`reproduce.frozen`), and rows begin from the weights that are there. A start is tested as
  it is stored, in half precision.
- **Frames within t**: share of pictures whose largest joint error is at most t.
- **Cubes** are cut where a detector would put them (`train.cubes.loose_middles`), alike for training and test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from phalanx.core.devices import as_device
from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder
from phalanx.core.json_values import Json
from phalanx.data.cube_views import CubeViews, concatenate_views
from phalanx.methods.sphere_fitting import FittingWeights
from phalanx.metrics.frames import frames_within
from phalanx.reproduce.frozen import Say, cache_folder
from phalanx.reproduce.plan import Curve, Figure, Outcome, Paper, Row, Training
from phalanx.reproduce.scales import read_scale
from phalanx.reproduce.table import chosen_rows, make_table
from phalanx.reproduce.wan2019_world import SETS, Scale, World
from phalanx.synth.version import ENGINE
from phalanx.train.recordings import MixtureConfig
from phalanx.train.sphere_fitting import train_on_labels, train_on_recordings

SEEDS = (1, 2, 3)
"""Of the main rows; the others have the first alone."""

HELP = """\
Starts on synthetic depth of the domain studio, fits to unlabelled depth of the domain field seen by three cameras, and tests there; with
--data nyu=DIR it fits to the training split of NYU and tests on its test split. Writes wan2019.md (the table), wan2019.png (frames
within an error) and wan2019.json. The scale smoke takes a minute, cpu an evening on two cores, paper days on a GPU.

examples:
  phalanx reproduce wan2019 --out runs/wan2019
  phalanx reproduce wan2019 --out runs/few --seeds 1 --rows "synth(aug. with noise)" "100% single view"
  phalanx reproduce wan2019 --out runs/nyu --data nyu=path/to/nyu --scale paper --device cuda
"""

NO_NOISE, START, ON_SYNTHESIS = "synth", "synth(aug. with noise)", "synt(test on synth)"
SINGLE, MULTI, HALF, MIXED = (
    "100% single view",
    "ours (100% multiple view)",
    "50% multi-view",
    "50% multi-view + 50% single view",
)
NO_VAE, NO_BONES, NO_COLLISION = "without vae loss", "without bone length loss", "without collision loss"
ON_TEST, ON_BOTH, STACKED = "train on test", "train on test + train", "ours (stack = 2)"
SUPERVISED, LONGER = "supervised", "longer start"

THRESHOLDS = np.arange(0.0, 81.0)  # mm
TIPS = [4, 8, 12, 16, 20]
FITTING_TERMS = ("model_to_data", "data_to_model", "multi_view", "vae", "bone_length", "collision")


@dataclass(frozen=True)
class Start:
    """A start, tested as it is."""

    noise: bool = True
    """Whether its maps are made noisy."""
    on_synthesis: bool = False
    """Outcome on the source, and not on recordings."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.start_training(seed, self.noise)]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        return (world.synthetic_test if self.on_synthesis else world.test).errors(world.started(seed, self.noise))


@dataclass(frozen=True)
class Supervise:
    """The start, trained on with labels of the recordings."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.start_training(seed), world.training(folder, "labels")]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        start, batch = world.started(seed), world.scale.batch
        found = train_on_labels(start, world.recordings, world.loop(seed), batch, folder, dict, True, world.say)
        return world.test.errors(found)


@dataclass(frozen=True)
class Fit:
    """The start, fitted to recordings without their labels."""

    sources: Callable[[World], list[CubeViews]] = lambda world: [world.recordings]
    """Frames to fit to, each kind apart; of every kind there are as many frames a step."""
    without: tuple[str, ...] = ()
    """Terms of Eq. 4 that are left out."""
    views: int = 3
    """Of a frame; as many maps a step, whatever they are."""
    stacks: int = 1
    """Hourglasses of the network."""

    def trainings(self, world: World, seed: int, folder: Path) -> list[Training]:
        return [world.start_training(seed, stacks=self.stacks), world.training(folder, "fit", self.stacks)]

    def __call__(self, world: World, seed: int, folder: Path) -> Outcome:
        scale, network = world.scale, world.started(seed, stacks=self.stacks)
        weights = replace(FittingWeights(), **dict.fromkeys(self.without, 0.0))
        network.config = replace(world.network(self.stacks), weights=weights)
        labelled = replace(world.start(seed, stacks=self.stacks), workers=min(scale.workers, 1), reuse=4)
        mixture = MixtureConfig(world.loop(seed), scale.fitted * 3 // self.views, labelled=3 * scale.fitted)
        sources = self.sources(world)
        found = train_on_recordings(network, sources, labelled, mixture, folder, dict, True, report=world.say)
        return world.test.errors(found)


def _single(world: World) -> list[CubeViews]:
    return [world.recordings.single_views()]


def _halves(world: World) -> tuple[CubeViews, CubeViews]:
    half = len(world.recordings) // 2
    return world.recordings[:half], world.recordings[half:]


def _mixed(world: World) -> list[CubeViews]:
    several, rest = _halves(world)
    return [several, rest.single_views()[::3]]


ROWS: tuple[Row[World], ...] = (
    Row(NO_NOISE, Start(noise=False), published=NO_NOISE, gap=False),
    Row(ON_SYNTHESIS, Start(noise=False, on_synthesis=True), published=ON_SYNTHESIS, gap=False),
    Row(START, Start(), "main", START),
    Row(SINGLE, Fit(_single, views=1), "main", SINGLE),
    Row(MULTI, Fit(), "main", MULTI),
    Row(HALF, Fit(lambda world: [_halves(world)[0]]), published=HALF),
    Row(MIXED, Fit(_mixed), published=MIXED),
    Row(NO_VAE, Fit(without=("vae",)), published=NO_VAE),
    Row(NO_BONES, Fit(without=("bone_length",)), published=NO_BONES),
    Row(NO_COLLISION, Fit(without=("collision",)), published=NO_COLLISION),
    Row(ON_TEST, Fit(lambda world: [world.test.views]), published=ON_TEST),
    Row(ON_BOTH, Fit(lambda world: [concatenate_views([world.test.views, world.recordings])]), published=ON_BOTH),
    Row(STACKED, Fit(stacks=2), published=STACKED, gap=False),
    Row(SUPERVISED, Supervise(), "main"),
    Row(LONGER, Fit(without=FITTING_TERMS)),
)


def _within(limit: int, errors: np.ndarray) -> float:
    return 100 * float((errors.max(1) <= limit).mean())


FIGURES = (
    Figure("epe_3d_mm", "joint error, mm", lambda errors: float(errors.mean()), published="mean_mm"),
    Figure("epe_3d_median_mm", "median, mm", lambda errors: float(np.median(errors))),
    Figure("within_20_percent", "frames within 20 mm, %", partial(_within, 20), 0, "within_20_percent"),
    Figure("within_40_percent", "frames within 40 mm, %", partial(_within, 40), 0),
)


def _head(world: World) -> list[str]:
    scale, nyu = world.scale, world.data.get("nyu")
    weights = ", ".join(f"{name} {value:g}" for name, value in asdict(FittingWeights()).items())
    where = (
        "`field`, seen by three cameras"
        if nyu is None
        else "NYU (of its training and its test split, or as many as they have)"
    )
    joints = "21 joints of the hands that were drawn"
    if nyu is not None:
        joints = "NYU's 14 points with those placed between our joints (`evaluate.nyu`); which the paper compares it does not say"
    return [
        f"Data: started on synthetic depth of `studio`; fitted to {scale.frames} unlabelled frames of {where}, tested on {scale.test} "
        f'others, each view by itself; "{ON_SYNTHESIS}" is tested on {scale.synthetic_test} pictures of `studio`.',
        f'Published: of NYU; "{ON_SYNTHESIS}" of the authors\' own synthesis.',
        f"Compared: {joints}. Root: none. Scale: none, for depth is in metres. Alignment: none; joints are compared in the cube's frame.",
        f"Weights of the loss: {weights}. Units: maps and coordinates in sides of the cube (0.3 m), squared; model_to_data, data_to_model "
        "and collision in centimetres, multi_view and bone_length in square centimetres; vae in nats a coordinate.",
        f"Training: {scale.size} x {scale.size} cells, {scale.width} channels; a start of {scale.start.samples} maps, then "
        f"{scale.fit.samples}; synthetic maps turned by up to {scale.turn:g} degrees; computed in {scale.fit.precision}.",
    ]


PAPER = Paper(
    "wan2019",
    "wan_2019",
    ROWS,
    FIGURES,
    Curve("largest joint error (mm)", "frames within (%)", THRESHOLDS, frames_within),
    (START, SUPERVISED),
    _head,
    World.seconds,
)


def reproduce(
    out: str | Path,
    scale: str | Path = "cpu",
    seeds: Sequence[int] = SEEDS,
    rows: Sequence[str] | None = None,
    data: Mapping[str, str | Path] | None = None,
    device: str = "cpu",
    cache: str | Path | None = None,
    say: Say = print,
) -> dict[str, Json]:
    """Train and test all rows that are not done yet in the folder `out`, then write `wan2019.md`, `.png` and `.json` there.

    Args:
        out: the run's folder.
        scale: name of a recipe in the package (smoke, cpu, paper), or a YAML file.
        seeds: of the main rows; the others have the first alone.
        rows: names; None: all.
        data: folders of public sets by name, those in `SETS`, whose splits rows run on; none: `field`.
        device: where networks train.
        cache: folder of what tables share; None: as `frozen.cache_folder` finds it.
        say: is given a line before everything that takes long.

    Raises:
        InputError: an argument or a file is at fault, or the folder holds a run with another scale or other data.
    """
    chosen_rows(PAPER, rows)
    as_device(device)
    folders = folders_of(data or {})
    chosen = read_scale(Scale, PAPER.name, scale)
    world = World(chosen, writable_folder(out), cache_folder(cache), folders, device, say)
    say(f"what tables share is kept in {world.cache}")
    settings: dict[str, Json] = {
        "engine": ENGINE,
        "scale": asdict(chosen),
        "data": {name: str(folder) for name, folder in folders.items()},
    }
    return make_table(PAPER, world, out, settings, seeds, rows, say)


def folders_of(data: Mapping[str, str | Path]) -> dict[str, Path]:
    """Folders of public sets. Raises InputError if the table has no use for one, or there is no such folder."""
    for name, folder in data.items():
        if name not in SETS:
            raise InputError(f"data: the table {PAPER.name} has no use for {name!r}; it takes {', '.join(SETS)}")
        if not Path(folder).is_dir():
            raise InputError(f"data: {folder}: there is no such folder")
    return {name: Path(folder).resolve() for name, folder in data.items()}
