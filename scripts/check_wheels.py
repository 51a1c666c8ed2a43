"""Check that the exact versions of constraints.txt come as wheels for every Python and machine that is supported. Installs nothing.

python scripts/check_wheels.py [--base] [--pythons 3.10 3.11 ...] [--machines x86_64 aarch64]

pip resolves what the package, its tests and its tools need (Linux), as it would be installed there; with --base, what prediction needs
(`pip install .`), among which PyTorch must not be. Markers of constraints.txt are worked out for that Python and machine; those inside
packages pip works out for the Python that runs this, which is why without --base every version that constraints.txt names is asked for by
itself, too, except those that only the extras in `APART` bring.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")
GLIBC = range(5, 40)
"""Minor versions of glibc 2 whose wheels may be taken; the newest is what a current system has."""
APART = ("anny",)
"""Pinned for an extra that takes no part in tests."""


def pins(python: str, machine: str) -> list[str]:
    """The lines of constraints.txt that hold there, without their markers."""
    there = {"python_version": python, "python_full_version": f"{python}.0", "platform_machine": machine}
    lines = (line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    wanted = [Requirement(line) for line in lines if line]
    return [f"{pin.name}{pin.specifier}" for pin in wanted if pin.marker is None or pin.marker.evaluate(there)]


def base() -> list[str]:
    """What pyproject.toml lets prediction need."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]


def resolve(python: str, machine: str, wanted: list[str]) -> tuple[list[str], str | None]:
    """The names and versions of the wheels that pip takes for `wanted`; what it says where it finds none, or None."""
    exact = pins(python, machine)
    tags = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC] + [f"manylinux2014_{machine}", f"linux_{machine}"]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(exact) + "\n")
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
        command += ["--ignore-installed", "--report", str(report)]
        command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, "--target", folder]
        command += [part for tag in tags for part in ("--platform", tag)]
        command += ["--constraint", str(constraints), *wanted]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            found = [each["metadata"] for each in json.loads(report.read_text())["install"]]
            return sorted(f"{each['name'].lower()} {each['version']}" for each in found), None
    errors = [line for line in done.stderr.splitlines() if line.startswith(("ERROR", "    The user requested"))]
    return [], " ".join(errors) or done.stderr[-2000:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", action="store_true", help="what prediction needs, alone")
    parser.add_argument("--pythons", nargs="+", default=PYTHONS)
    parser.add_argument("--machines", nargs="+", default=MACHINES)
    arguments = parser.parse_args()
    failed = False
    for python in arguments.pythons:
        for machine in arguments.machines:
            exact = [pin for pin in pins(python, machine) if pin.partition("=")[0] not in APART]
            wheels, problem = resolve(python, machine, base() if arguments.base else exact)
            if arguments.base and any(wheel.startswith("torch ") for wheel in wheels):
                problem = "PyTorch is among what prediction needs"
            failed |= problem is not None
            names = f" ({', '.join(wheels)})" if arguments.base else ""
            print(f"Python {python} {machine}: {problem or f'{len(wheels)} wheels{names}'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
