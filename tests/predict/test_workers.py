"""The same hands from predictors with the shipped weights wherever they work: processes, threads, copies, other settings of PyTorch."""

import copy
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from phalanx.hand.model import HandModel, HandPose
from phalanx.predict.depth import DepthPredictor
from phalanx.predict.predictor import Predictor
from phalanx.render.mesh import barycentrics, depth
from phalanx.render.visibility import visibility

PICTURE = str(Path(__file__).parents[2] / "examples" / "open.jpg")
K = torch.tensor([[[200.0, 0, 79.5], [0, 200, 79.5], [0, 0, 1]]])


def depth_frame():
    """An open right hand, 40 cm away."""
    model, pose = HandModel.open_hand(), HandPose.zero(1)
    pose.orientation = torch.diag(torch.tensor([1.0, -1.0, -1.0]))[None].to(pose.shape)
    pose.translation = torch.tensor([[0.0, 0.08, 0.4]]).to(pose.shape)
    vertices, camera = model(pose).vertices, K.to(pose.shape)
    face = visibility(vertices, model.faces, camera, 160, 160, "torch")
    return depth(vertices, model.faces, face, barycentrics(vertices, model.faces, camera, face))[0].numpy()


class Job:
    """What a worker is asked: joints in a picture, by PyTorch and by ONNX Runtime, and in a depth frame."""

    def __init__(self, frame):
        self.picture, self.depth = Predictor(precision="float32"), DepthPredictor(precision="float32")
        self.model = Predictor()
        self.frame = frame

    def __call__(self, number=0):
        return (
            self.picture(PICTURE, box="whole", side="right")[0].joints,
            self.model(PICTURE, box="whole", side="right")[0].joints,
            self.depth(self.frame, K[0].double().numpy(), "right").joints,
        )


def same(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)  # threads share sums out in other ways


@pytest.fixture(scope="module")
def job():
    return Job(depth_frame())


@pytest.fixture(scope="module")
def wanted(job):
    return job()


@pytest.fixture
def two_threads():
    """Whatever the machine has: a forked process lacks the other one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def answer(job, pipe):
    pipe.send(job())


def ask(method, job, seconds):
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=answer, args=(job, theirs), daemon=True)
    child.start()
    answered = ours.poll(seconds)
    result = ours.recv() if answered else None
    child.kill()
    child.join()
    assert answered, f"the process made by {method} hangs"
    return result


FORK = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
QUIET = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@FORK
@QUIET
def test_forked_processes(job, wanted, two_threads):
    job()  # starts the threads
    same(ask("fork", job, 25), wanted)


@FORK
@QUIET
def test_a_pool_of_forked_processes_which_are_sent_the_predictor(job, wanted, two_threads):
    job()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        same(pool.map_async(job, [0]).get(timeout=25)[0], wanted)


def test_spawned_processes(job, wanted):
    same(ask("spawn", job, 200), wanted)


def test_threads(job, wanted):
    with ThreadPoolExecutor(3) as threads:
        for found in threads.map(job, range(4)):
            same(found, wanted)


def test_copies_and_pickles(job, wanted):
    for other in (copy.copy(job), copy.deepcopy(job), pickle.loads(pickle.dumps(job))):
        same(other(), wanted)


def test_autocast(job, wanted):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        same(job(), wanted)


def test_default_dtype_set_later(job, wanted):
    torch.set_default_dtype(torch.float64)
    try:
        same(job(), wanted)
    finally:
        torch.set_default_dtype(torch.float32)


SCRIPT = """
import sys
import numpy as np, torch
torch.set_default_dtype(torch.bfloat16)
sys.path.insert(0, sys.argv[1])
import test_workers
np.savez(sys.argv[2], *test_workers.Job(np.load(sys.argv[3]))())
"""


def test_default_dtype_from_the_start(job, wanted, tmp_path):
    """Set before anything of this package is imported, so that constants of modules are seen, too."""
    np.save(tmp_path / "frame.npy", job.frame)
    arguments = [str(Path(__file__).parent), str(tmp_path / "found.npz"), str(tmp_path / "frame.npy")]
    subprocess.run([sys.executable, "-c", SCRIPT, *arguments], check=True, timeout=300)
    with np.load(tmp_path / "found.npz") as found:
        same([found[name] for name in ("arr_0", "arr_1", "arr_2")], wanted)
