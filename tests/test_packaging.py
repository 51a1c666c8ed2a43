"""What an installation holds, and that the pinned versions are ones that the package allows."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from phalanx.core.extras import EXTRAS

ROOT = Path(__file__).parents[1]

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")  # pytest brings the latter
packaging_requirements = pytest.importorskip("packaging.requirements")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirements(project, *extras):
    texts = list(project["project"]["dependencies"])
    for extra in extras:
        texts += project["project"]["optional-dependencies"][extra]
    found = [packaging_requirements.Requirement(text) for text in texts]
    more = [extra for want in found if want.name == "phalanx" for extra in want.extras]
    others = [want for want in found if want.name != "phalanx"]
    return others + (requirements(project, *more)[len(project["project"]["dependencies"]) :] if more else [])


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_constraints_pin_one_allowed_version_of_each_dependency(project):
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pin = packaging_requirements.Requirement(line)
            pins.setdefault(normal(pin.name), []).append(pin)
    for python in ("3.10", "3.11", "3.12", "3.13", "3.14"):
        for want in requirements(project, "test", "dev"):
            if want.marker and not want.marker.evaluate({"python_version": python}):
                continue
            valid = [
                p for p in pins[normal(want.name)] if not p.marker or p.marker.evaluate({"python_version": python})
            ]
            (pin,) = valid
            (specifier,) = pin.specifier
            assert specifier.operator == "==" and "+" not in specifier.version, pin
            assert want.specifier.contains(specifier.version), f"{want} does not allow {pin}"


def test_base_is_for_prediction_alone(project):
    """Who adds to it makes everyone's first installation larger: docs/install.md says how large."""
    base = {normal(want.name) for want in requirements(project)}
    assert base == {"numpy", "onnxruntime", "opencv-python-headless", "pillow", "trimesh", "pyyaml", "tqdm"}
    assert all(want.marker is None for want in requirements(project))


def test_extras_bring_every_module_that_a_message_sends_to_them(project):
    distribution = {"torch": "torch", "warp": "warp-lang", "lightning_fabric": "lightning-fabric", "OpenEXR": "openexr"}
    for module, extra in EXTRAS.items():
        wanted = {normal(want.name) for want in requirements(project, extra)}
        assert distribution.get(module, module) in wanted - {normal(w.name) for w in requirements(project)}, module


def test_dependencies_are_ranges_and_not_pins(project):
    for want in requirements(project, *project["project"]["optional-dependencies"]):
        operators = {s.operator for s in want.specifier}
        assert ">=" in operators and operators <= {">=", "<", "!="}, want


def test_import_is_light_and_names_come_when_asked():
    code = (
        "import sys, phalanx; assert 'torch' not in sys.modules; "
        "from phalanx import HandPrediction, InputError, Predictor; "
        "assert Predictor.__module__ == 'phalanx.predict.predictor'; "
        "assert set(phalanx.__all__) <= set(dir(phalanx)); assert not hasattr(phalanx, 'Predicto')"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy by the setuptools of this environment, without a network."""
    setuptools = pytest.importorskip("setuptools")
    if int(setuptools.__version__.split(".")[0]) < 77:
        pytest.skip("needs setuptools 77 or newer")
    copy = tmp_path_factory.mktemp("copy")
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", copy / "src", ignore=ignore)
    code = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    result = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (path,) = (copy / "dist").glob("*.whl")
    return path


def test_wheel_holds_every_module_and_every_asset(wheel):
    assert wheel.name.endswith("-py3-none-any.whl")  # nothing to compile
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry = archive.read(next(n for n in names if n.endswith("entry_points.txt"))).decode()
    wanted = {
        str(p.relative_to(ROOT / "src"))
        for p in (ROOT / "src" / "phalanx").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert wanted <= names, sorted(wanted - names)
    for needed in (
        "hand/assets/open_hand.npz",
        "hand/assets/LICENSE.txt",
        "predict/weights/compact.safetensors",
        "predict/weights/sphere_fitting.safetensors",
        "py.typed",
    ):
        assert f"phalanx/{needed}" in names
    assert all(n.startswith(("phalanx/", "phalanx-")) for n in names), "something else is in the wheel"
    assert "phalanx = phalanx.cli:main" in entry
    assert any(n.endswith("licenses/LICENSE") for n in names)


def test_wheel_is_small(wheel):
    assert wheel.stat().st_size < 45e6  # weights for training on, and models of the same networks for prediction


def test_make_names_the_fault_of_an_old_python(tmp_path):
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'Python 3.8.1'; exit 0; fi\nexit 1\n")
    old.chmod(0o755)
    result = subprocess.run(
        [make, "test", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert f"phalanx needs Python 3.10 or newer; {old} is Python 3.8.1." in result.stderr
    assert not (tmp_path / "venv").exists()
