"""Colour, depth and mask of the same posed hands: Phalanx beside pyrender with OSMesa and trimesh's ray casting.

    python benchmarks/renderers.py --pyrender-python PATH [--pictures 32] [--seconds 4] [--json FILE]

All of them draw the same surfaces (hand and clothed forearm, as synthesis has them) through the same cameras in two ways: as synthesis
draws them, textured, four samples a pixel averaged, with coverage as the mask; and plain, one sample a pixel in one colour.

Each renderer runs in a process of its own that keeps to one core. They take turns; then two processes of each run at once.
`benchmarks/README.md` says how to make the environment, and what each renderer does for a picture.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from child import Answers, Child, ChildError, requests
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.core.records import map_fields
from phalanx.hand.model import HandPose, HandSurface
from phalanx.render.mesh import barycentrics, interpolate, shade, unit, vertex_normals
from phalanx.render.visibility import visibility
from phalanx.synth.chunks import make_chunk
from phalanx.synth.config import SynthConfig
from phalanx.synth.paint.dress import draw_dress, dress
from phalanx.synth.paint.light import VertexLight, draw_light, light_vertices
from phalanx.synth.paint.shade import Look, render, texture_side
from phalanx.synth.paint.skin import skin_bank, skin_matrices
from phalanx.synth.paint.surface import hand

WORKER = Path(__file__).with_name("pyrender_worker.py")
LIGHT_GIVEN = "phalanx, light given"
OURS, RIVALS = ("phalanx", LIGHT_GIVEN, "phalanx, plain"), ("pyrender", "trimesh")
KINDS = {"as synthesis draws them": "", "plain": ", plain"}  # and what their names end in
GOAL = 3.0  # times the faster rival
AGREE_DEPTH, AGREE_MASK = 0.3, 0.97  # mm, median; intersection over union
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}
# Freed memory is kept in all of them, as our workers do (`core/allocator.py`).
ENVIRONMENT |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
LIGHTS = np.array([[-0.27, -0.53, -0.8], [0.74, -0.21, -0.64]], np.float32)  # of the others, and of ours when plain
COLOUR = np.array([0.6, 0.4, 0.3], np.float32)
BLOCK = 4  # plain pictures drawn together, as synthesis does


class Hands:
    """Posed and clothed hands of a chunk of synthesis, with everything that it takes to draw them."""

    def __init__(self, size: int, count: int, seed: int = 0) -> None:
        self.size, self.count = size, count
        sample = make_chunk(SynthConfig(size=size, chunk=count, tiles=4, skins=4), seed, 0)
        values = [getattr(sample, name) for name in ("rotations", "shape", "orientation", "translation")]
        model, self.topology = hand("cpu")
        self.surface = model(HandPose(*values))
        assert sample.K is not None
        self.K = sample.K
        generator = np.random.default_rng(seed)
        self.dress, self.light = draw_dress(generator, count), draw_light(generator, count)
        self.vertices, self.cover, self.phase = dress(
            self.surface, self.topology, self.topology.rest_normals, self.dress
        )
        self.normals = vertex_normals(self.vertices, self.topology.faces)
        cloth = torch.as_tensor(self.dress.colour)
        self.colours = torch.cat([torch.as_tensor(skin_matrices(generator, count)), cloth], -1)
        self.skin = torch.as_tensor(generator.integers(0, 4, count))
        self.bank = skin_bank(4, texture_side(size), "cpu")
        self.lit = self._light(count)

    def _light(self, count: int) -> VertexLight:
        surface = HandSurface(*(value[:count] for value in vars(self.surface).values()))
        vertices, around = self.vertices[:count], torch.full((count, 3), 0.4)
        return light_vertices(surface, vertices, self.topology, self.light[np.arange(count)], around)

    def draw(self, count: int, light_given: bool) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Colour, depth and coverage of the first `count` as synthesis draws them: light at the vertices, then `shade.render`."""
        if light_given:
            lit = map_fields(self.lit, lambda value: value[..., :count])
        else:
            lit = self._light(count)
        look = Look(
            light=lit,
            cover=self.cover[:count],
            phase=self.phase[:count],
            colours=self.colours[:count],
            skin=self.skin[:count],
            dress=self.dress[np.arange(count)],
            blood=torch.zeros_like(self.cover[:count]),
            tendons=torch.zeros_like(self.cover[:count]),
        )
        picture = render(self.vertices[:count], self.K[:count], self.size, self.topology, look, self.bank)
        return [(picture.colour, picture.depth, picture.coverage)]

    def draw_plain(self, count: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Colour, depth and mask of the first `count`, a few at a time, by `phalanx.render`: what each pixel's centre sees, smooth
        normals, two lights."""
        faces, pictures = self.topology.faces, []
        for start in range(0, count, BLOCK):
            rows = slice(start, min(start + BLOCK, count))
            vertices, K = self.vertices[rows], self.K[rows]
            seen = visibility(vertices, faces, K, self.size, self.size, back_faces=False)
            values = torch.cat([self.normals[rows], vertices[..., 2:]], -1)
            normals, depth = interpolate(values, faces, seen, barycentrics(vertices, faces, K, seen)).split([3, 1], -1)
            mask = seen >= 0
            hit = mask.view(-1).nonzero()[:, 0]  # a third of the pixels: the others need no light
            towards = unit(normals.reshape(-1, 3).index_select(0, hit))
            light = shade(torch.from_numpy(COLOUR), towards, torch.from_numpy(LIGHTS[0]))
            light += shade(torch.from_numpy(COLOUR), towards, torch.from_numpy(LIGHTS[1]), ambient=0.0)
            colour = torch.zeros(mask.numel(), 3).index_copy_(0, hit, light).view(*mask.shape, 3)
            pictures.append((colour, depth[..., 0], mask))
        return pictures

    def save(self, path: Path) -> None:
        """For `pyrender_worker.py`."""
        split, side = self.topology.split, self.bank.shape[-1]
        channels = self.bank[0].contiguous().view(torch.uint8).view(side, side, 8).double().numpy()[..., :5]
        signed = np.array([0, 1, 1, 0, 0])  # see `synth.paint.skin.CHANNELS`
        channels = (channels - 128 * signed) * np.where(signed, 2 / 127, 1 / 255)
        matrix = self.colours[0].double().numpy()  # (3, 8)
        albedo = np.exp(channels @ matrix[:, 1:6].T + matrix[:, 0])
        np.savez(
            path,
            vertices=self.vertices[:, split].numpy(),
            normals=self.normals[:, split].numpy(),
            faces=self.topology.split_faces.numpy(),
            uv=self.topology.split_uv.numpy(),
            texture=(255 * np.clip(albedo, 0, 1)).astype(np.uint8),
            K=self.K.numpy(),
            size=self.size,
            lights=LIGHTS / np.linalg.norm(LIGHTS, axis=1, keepdims=True),
            colour=COLOUR,
        )


def serve(size: int, count: int, core: int) -> None:
    """Phalanx as `pyrender_worker.py` serves the others."""
    answer = Answers()
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    hands = Hands(size, count)
    answer({})
    for request in requests():
        start = time.perf_counter()
        if request["what"] in ("phalanx", LIGHT_GIVEN):
            pictures = hands.draw(request["pictures"], request["what"] == LIGHT_GIVEN)
        else:
            pictures = hands.draw_plain(request["pictures"])
        seconds = time.perf_counter() - start
        if request["save"]:
            _, depth, mask = map(torch.cat, zip(*pictures, strict=True))
            np.savez(request["save"], depth=depth.numpy(), mask=mask.numpy() >= 0.5)
        answer({"seconds": seconds})


def run(python: str, size: int, pictures: int, seconds: float, rounds: int) -> dict[str, Any]:
    """All figures."""
    cores = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        torch.set_grad_enabled(False)
        Hands(size, pictures).save(folder / "hands.npz")
        ours: list[Child] = []
        rivals: list[Child] = []
        for core in (cores[0], cores[-1]):
            us = [sys.executable, __file__, "--serve", str(core), "--size", str(size), "--pictures", str(pictures)]
            them = [python, str(WORKER), str(folder / "hands.npz"), str(core)]
            for command, children in ((us, ours), (them, rivals)):
                children.append(Child(command, ENVIRONMENT))
                stack.callback(children[-1].close)
        versions = rivals[0].greeting
        served = dict.fromkeys(OURS, ours)
        for name in RIVALS:
            if versions[name] is None:
                print(f"{name} is left out: {versions[f'{name}_fault']}")
            else:
                served |= {name + end: rivals for end in KINDS.values()}

        counts = {}
        for name, children in served.items():
            count = min(2, pictures)
            for child in children:  # the first pictures compile kernels and shaders
                child.ask({"what": name, "pictures": count, "save": None})
            spent = children[0].ask({"what": name, "pictures": count, "save": None})["seconds"]
            counts[name] = min(pictures, max(1, int(seconds / rounds / spent * count)))

        rates: dict[str, list[list[float]]] = {name: [[], []] for name in served}
        for _ in range(rounds):
            for name, children in served.items():
                request = {"what": name, "pictures": counts[name], "save": None}
                rates[name][0].append(counts[name] / children[0].ask(request)["seconds"])
                if len(cores) == 1:
                    continue
                start = time.perf_counter()
                for child in children:
                    child.send(request)
                for child in children:
                    child.answer()
                rates[name][1].append(2 * counts[name] / (time.perf_counter() - start))

        agreements = {}
        for end in KINDS.values():
            drawn, common = {}, min(8, *counts.values())
            for name in (name for name in served if name in [who + end for who in ("phalanx", *RIVALS)]):
                path = folder / f"{name}.npz"
                served[name][0].ask({"what": name, "pictures": common, "save": str(path)})
                with np.load(path) as file:
                    drawn[name] = file["depth"], file["mask"]
            for a, b in combinations(drawn, 2):
                agreements[f"{a} and {b}"] = {"pictures": common, **agreement(*drawn[a], *drawn[b])}
    return {
        "size": size,
        "pictures": counts,
        "rounds": rounds,
        "versions": {name: versions[name] for name in RIVALS},
        "pictures_per_second": {name: float(np.median(one)) for name, (one, _) in rates.items()},
        "pictures_per_second_two": {name: float(np.median(two)) for name, (_, two) in rates.items() if two},
        "agreement": agreements,
    }


def agreement(depth: np.ndarray, mask: np.ndarray, other_depth: np.ndarray, other_mask: np.ndarray) -> dict[str, float]:
    """How alike two renderers' depth `(N, S, S)` and masks are."""
    both, either = mask & other_mask, mask | other_mask
    distance = np.abs(depth - other_depth)[both] * 1000
    return {
        "depth_median_mm": float(np.median(distance)),
        "depth_95_percent_mm": float(np.quantile(distance, 0.95)),
        "mask_iou": float(both.sum() / either.sum()),
    }


def report(figures: dict[str, Any]) -> bool:
    """Print the figures, and add the ratios to them; whether the renderers draw the same."""
    one, two = figures["pictures_per_second"], figures["pictures_per_second_two"]
    print(f"pictures/s at {figures['size']} x {figures['size']}, median of {figures['rounds']} turns")
    print(f"{'':24s}{'one process':>12s}{'two':>10s}")
    for name, rate in one.items():
        pair = f"{two[name]:10.1f}" if name in two else f"{'-':>10s}"
        print(f"{name:24s}{rate:12.1f}{pair}  {figures['versions'].get(name) or ''}")
    figures["times_faster"] = {}
    for kind, end in KINDS.items():
        if rivals := [name + end for name in RIVALS if name + end in one]:
            best = max(rivals, key=lambda name: one[name])
            ratio = one["phalanx" + end] / one[best]
            figures["times_faster"]["phalanx" + end] = {"than": best, "times": ratio}
            print(f"{kind}: {ratio:.2f} times as fast as {best}, the faster of the others (goal: {GOAL:.0f})")
    alike = True
    for pair, found in figures["agreement"].items():
        good = found["depth_median_mm"] <= AGREE_DEPTH and found["mask_iou"] >= AGREE_MASK
        alike &= good
        print(
            f"{pair}: depth differs by {found['depth_median_mm']:.4f} mm (median; 95 %: {found['depth_95_percent_mm']:.3f} mm), "
            f"masks overlap by {found['mask_iou']:.4f}, {found['pictures']} pictures{'' if good else ': NOT THE SAME'}"
        )
    return alike


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pyrender-python", metavar="PATH", help="Python of an environment with pyrender")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--pictures", type=int, default=32, help="at most so many a turn")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each renderer and number of processes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--serve", type=int, metavar="CORE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(arguments.size, arguments.pictures, arguments.serve)
        return 0
    if not arguments.pyrender_python:
        parser.error("--pyrender-python is needed")
    try:
        figures = run(
            arguments.pyrender_python, arguments.size, arguments.pictures, arguments.seconds, arguments.rounds
        )
    except (ChildError, InputError) as error:
        prefix = "--pyrender-python: " if isinstance(error, ChildError) else ""
        print(f"renderers: {prefix}{error}", file=sys.stderr)
        return 2
    alike = report(figures)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0 if alike else 1


if __name__ == "__main__":
    sys.exit(main())
