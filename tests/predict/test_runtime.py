import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.core.files import file_checksum, read_json
from phalanx.hand.model import HandModel
from phalanx.methods import compact
from phalanx.methods.compact import CompactConfig, CompactEstimator, export, known, load_trainable, save_weights
from phalanx.nets.model_files import metadata, write_model
from phalanx.nets.weights import shipped_weights
from phalanx.predict.networks import NetworkEstimator
from phalanx.predict.runtime import (
    ESTIMATOR,
    OnnxEstimator,
    Session,
    estimator_for,
    load_estimator,
    open_session,
    shipped_model,
    usual_threads,
)

PICTURE = str(Path(__file__).parents[2] / "examples" / "open.jpg")
SMALL = CompactConfig(
    size=64, widths=(8, 12, 16, 24), depths=(0, 1, 1, 1), top_down=(12, 12, 8), detail=4, hidden=16, handedness=8
)
CPU = torch.device("cpu")
FORK = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
QUIET = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture(scope="module")
def hand():
    return HandModel.open_hand()


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    made = CompactEstimator(SMALL)
    with torch.no_grad():
        made.train()(torch.rand(8, 3, 64, 64))
    return made.eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def paths(network, hand, images, tmp_path_factory):
    """A file of each kind."""
    folder = tmp_path_factory.mktemp("models")
    kinds = {stored: folder / f"{stored}.onnx" for stored in ("float32", "float16", "int8")}
    for stored, path in kinds.items():
        export(network, path, hand, stored, images, {"data": "none"})
    return kinds


def differences(estimator, network, images):
    found, wanted = estimator.evidence(images.numpy()), network.evidence(images)
    assert known(found) == known(wanted)
    return {name: float(np.abs(getattr(found, name) - getattr(wanted, name).numpy()).max()) for name in known(found)}


@pytest.mark.parametrize("batch", [1, 4])
def test_float32_equals_pytorch(network, paths, images, batch):
    estimator = load_estimator(paths["float32"])
    assert estimator.config.size == network.config.size and estimator.session.about["card"] == {"data": "none"}
    assert max(differences(estimator, network, images[:batch]).values()) < 1e-4
    flipped = images[:batch].flip(-1)[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert max(differences(estimator, network, flipped.permute(0, 1, 3, 2)).values()) < 1e-4  # whatever the layout


def test_smaller_files_are_nearly_as_good(network, paths, images):
    size = {stored: path.stat().st_size for stored, path in paths.items()}
    assert size["float16"] < 0.8 * size["float32"]
    half, eight = (differences(load_estimator(paths[stored]), network, images) for stored in ("float16", "int8"))
    assert 0 < half["joints_2d"] < 1e-3 and 0 < eight["joints_2d"] < 0.02


def test_training_goes_on_after_an_export(network, hand, tmp_path, images):
    before = network.evidence(images).joints_2d
    export(network.train(), tmp_path / "a.onnx", hand)
    assert network.training and any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert torch.equal(network.eval().evidence(images).joints_2d, before)


def test_the_shipped_model_is_of_the_shipped_weights(hand):
    """In eight bits, whose errors on synthetic pictures are within 2 % of the weights'."""
    estimator = load_estimator()
    assert estimator.session.about["precision"] == "int8"
    plain = load_trainable().eval()
    picture = cv2.resize(cv2.imread(PICTURE), (128, 128), interpolation=cv2.INTER_AREA)[..., ::-1].copy()
    crop = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    assert differences(estimator, plain, crop)["joints_2d"] < 0.01
    assert estimator.config.size == plain.config.size and ESTIMATOR == compact.METHOD
    weights = shipped_weights(compact.METHOD)
    model = read_json(weights.with_suffix(".json"))["model"]
    assert (model["sha256"], model["of"]) == (file_checksum(shipped_model(compact.METHOD)), file_checksum(weights))


def test_what_computes(paths, hand, network, tmp_path):
    assert isinstance(estimator_for(None, hand, CPU), OnnxEstimator)
    assert isinstance(estimator_for(paths["float16"], hand, CPU), OnnxEstimator)
    plain = estimator_for(None, hand, CPU, "float32")
    assert isinstance(plain, NetworkEstimator) and isinstance(plain.network, CompactEstimator)
    save_weights(network, tmp_path / "a.safetensors", hand)
    assert isinstance(estimator_for(tmp_path / "a.safetensors", hand, CPU).network, CompactEstimator)
    with pytest.raises(InputError, match=r"int8.onnx: a model computes on the CPU .* give weights"):
        estimator_for(paths["int8"], hand, torch.device("meta"))
    with pytest.raises(InputError, match=r"int8.onnx: a model computes on the CPU .* give weights"):
        estimator_for(str(paths["int8"]), hand, CPU, "float32")


def test_files_at_fault(paths, hand, tmp_path):
    with pytest.raises(InputError, match=r"none.onnx: there is no such weights file"):
        load_estimator(tmp_path / "none.onnx")
    with pytest.raises(InputError, match=r"float32.onnx: weights of compact, not of detector"):
        open_session(paths["float32"], "detector")
    buffers = dict(hand.named_buffers())
    buffers.pop("parts")
    other = HandModel(**(buffers | {"rest_joints": hand.rest_joints + 0.01}))
    with pytest.raises(InputError, match="another hand model"):
        load_estimator(paths["float32"], other)
    write_model(tmp_path / "no.onnx", metadata("compact", {}, "", "int8").encode())
    with pytest.raises(InputError, match=r"no.onnx: not a model that ONNX Runtime .* can run"):
        open_session(tmp_path / "no.onnx")


def answer(session, pipe, images):
    pipe.send(session(images)[0])


@FORK
@QUIET
def test_forked_processes(paths, images):
    session = open_session(paths["float32"], threads=2)
    wanted = session(images.numpy())[0]
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=answer, args=(session, theirs, images.numpy()), daemon=True)
    child.start()
    answered = ours.poll(60)
    result = ours.recv() if answered else None
    child.kill()
    child.join()
    assert answered, "the forked process hangs"
    np.testing.assert_allclose(result, wanted, atol=1e-6)


SCRIPT = """
import os, sys
from phalanx.predict.runtime import open_session
session = open_session(sys.argv[1], threads=2)
import numpy as np
images = np.zeros((1, 3, 64, 64), np.float32)
session(images)
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
child = os.fork()
if child == 0:
    if sys.argv[2] == "used":
        session(images)
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


@FORK
@pytest.mark.parametrize("used", ["used", "unused"])
def test_forked_processes_end(paths, used):
    """Their sessions would wait for threads that they do not have."""
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(paths["float16"]), used]
    subprocess.run(command, check=True, timeout=300)


def test_copies_pickles_and_threads(paths, images):
    session = open_session(paths["float16"])
    wanted = session(images.numpy())
    for other in (copy.copy(session), copy.deepcopy(session), pickle.loads(pickle.dumps(session))):
        assert isinstance(other, Session) and other.about == session.about
        assert all(np.array_equal(a, b) for a, b in zip(other(images.numpy()), wanted, strict=True))
    with ThreadPoolExecutor(3) as threads:
        for found in threads.map(session, [images.numpy()] * 4):
            assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_threads_are_few(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert 1 <= usual_threads() <= min(2, os.cpu_count() or 1)
    for asked, threads in (("1", 1), ("64", usual_threads()), ("none", usual_threads()), ("0", 1)):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert usual_threads() == threads
