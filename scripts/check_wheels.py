"""Check that the exact versions of constraints.txt come as wheels for every Python and machine that is supported. Installs nothing.

python scripts/check_wheels.py [--pythons 3.10 3.11 ...] [--machines x86_64 aarch64]

pip resolves what the package, its tests and its tools need (Linux), as it would be installed there. Markers of constraints.txt are
worked out for that Python and machine; those inside packages pip works out for the Python that runs this, which is why every version
that constraints.txt names is asked for by itself, too, except those that only the extras in `APART` bring.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

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


def fault(python: str, machine: str) -> str | None:
    """What pip says where it finds no wheel; None where it finds all."""
    exact = pins(python, machine)
    tags = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC] + [f"manylinux2014_{machine}", f"linux_{machine}"]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(exact) + "\n")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
        command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, "--target", folder]
        command += [part for tag in tags for part in ("--platform", tag)]
        command += ["--constraint", str(constraints), *(pin for pin in exact if pin.partition("=")[0] not in APART)]
        done = subprocess.run(command, capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if line.startswith(("ERROR", "    The user requested"))]
    return None if done.returncode == 0 else " ".join(errors) or done.stderr[-2000:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythons", nargs="+", default=PYTHONS)
    parser.add_argument("--machines", nargs="+", default=MACHINES)
    arguments = parser.parse_args()
    failed = False
    for python in arguments.pythons:
        for machine in arguments.machines:
            problem = fault(python, machine)
            failed |= problem is not None
            print(f"Python {python} {machine}: {problem or f'{len(pins(python, machine))} wheels'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
