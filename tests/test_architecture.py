"""The rooms of docs/architecture.md hold: who may import whom, no cycles, and no work at import time."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import phalanx

SOURCE = Path(phalanx.__file__).parent
DOCUMENT = Path(__file__).parent.parent / "docs" / "architecture.md"

# A room imports rooms of earlier lines only, and itself.
LAYERS = (
    ("core",),
    ("geometry",),
    ("hand", "render", "nets", "losses", "metrics"),
    ("data",),
    ("fit",),
    ("view",),
    ("methods",),
    ("predict",),
    ("serve",),
    ("synth",),
    ("train", "evaluate"),
    ("adapt", "reproduce"),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
# The same within rooms that have folders; what lies in the room itself goes by the room's name.
CHAMBERS = {
    "data": (("data",), ("public",)),
    "synth": (("body",), ("paint", "sense"), ("scene", "things"), ("synth",), ("sets",)),
}
CHAMBER_LEVEL = {
    (room, name): level for room, layers in CHAMBERS.items() for level, names in enumerate(layers) for name in names
}
DOORS = {"__init__", "__main__"}  # of the package itself: what users and Python come in by; no room imports them
IMPORTERS = {"import_module", "__import__"}
CALLS_AT_IMPORT = {"wp.set_module_options"}  # declares how a kernel will be compiled


def modules(source: Path) -> dict[str, Path]:
    """Dotted names, below the package, of all its files; a folder goes by its own name."""
    names = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        names[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path
    return names


def imported(path: Path, known: set[str]) -> tuple[set[str], list[str]]:
    """Modules of the package that a file imports, wherever in it, for types too; and what it does to hide imports."""
    found, faults = set(), []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                faults.append(f"line {node.lineno}: relative import")
                continue
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in IMPORTERS:
            argument = node.args[0] if node.args else None
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                names = [argument.value]
                if argument.value.startswith("."):
                    faults.append(f"line {node.lineno}: relative import")
            else:
                faults.append(f"line {node.lineno}: import by a computed name")
        for name in names:
            head, _, rest = name.partition(".")
            if head != "phalanx" or rest == "__version__":
                continue
            while rest and rest not in known:  # a name inside a module
                rest = rest.rpartition(".")[0]
            found.add(rest or "__init__")
    return found, faults


def chamber(name: str, paths: dict[str, Path]) -> str:
    """The folder of its room that a module lies in, or the room."""
    parts = name.split(".")
    return parts[1] if len(parts) > 2 or (len(parts) == 2 and paths[name].name == "__init__.py") else parts[0]


def faults_of(source: Path) -> list[str]:
    """Everything in a package that breaks the rules of rooms, as sentences."""
    paths = modules(source)
    faults, graph = [], {}
    for name, path in paths.items():
        uses, hidden = imported(path, set(paths))
        if name in DOORS:
            continue
        faults += [f"{name}, {fault}" for fault in hidden]
        graph[name] = uses - DOORS - {name}
        room = name.split(".")[0]
        if room not in LEVEL:
            faults.append(f"{name}: {room} is no room of the architecture")
            continue
        for use in sorted(uses):
            other = use.split(".")[0]
            if other == "__init__":
                faults.append(f"{name} imports the package itself")
            elif other != room and LEVEL.get(other, len(LAYERS)) >= LEVEL[room]:
                faults.append(f"{name} imports {use}, which is not above it")
            elif other == room and room in CHAMBERS and chamber(use, paths) != chamber(name, paths):
                if CHAMBER_LEVEL[room, chamber(use, paths)] >= CHAMBER_LEVEL[room, chamber(name, paths)]:
                    faults.append(f"{name} imports {use}, which is not above it")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        faults.append("cycle: " + " -> ".join(error.args[1]))
    return faults


def work_at_import(path: Path) -> list[str]:
    """Statements at the top of a file that do more than define."""

    def check(body: list[ast.stmt]) -> list[str]:
        faults = []
        for node in body:
            if isinstance(node, ast.For | ast.While | ast.With | ast.Delete):
                faults.append(f"line {node.lineno}: {type(node).__name__.lower()}")
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                if ast.unparse(node.value.func) not in CALLS_AT_IMPORT:
                    faults.append(f"line {node.lineno}: calls {ast.unparse(node.value.func)}")
            elif isinstance(node, ast.If) and "__name__" not in ast.unparse(node.test):
                faults += check(node.body) + check(node.orelse)
            elif isinstance(node, ast.Try):
                faults += check(node.body) + check(node.orelse) + check(node.finalbody)
        return faults

    return check(ast.parse(path.read_text(encoding="utf-8")).body)


def test_rooms_import_only_what_is_above_them():
    assert faults_of(SOURCE) == []


def test_the_document_lists_the_same_rooms_in_the_same_order():
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert rows == [room for rooms in LAYERS for room in rooms]


def test_no_module_works_at_import():
    assert {name: found for name, path in modules(SOURCE).items() if (found := work_at_import(path))} == {}


def test_importing_the_package_is_quick_and_silent():
    """`import phalanx` loads no library; importing every module starts no kernels and draws no random numbers."""
    kernels = ("render.splats_warp", "render.visibility_warp")
    names = [f"phalanx.{name}" for name in modules(SOURCE) if name not in DOORS and name not in kernels]
    code = f"""
import sys, phalanx
heavy = {{"torch", "numpy", "cv2", "warp", "trimesh", "matplotlib", "lightning", "roma"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
import numpy, torch
states = str(numpy.random.get_state()), torch.get_rng_state().tolist()
from importlib import import_module
for name in {names}:
    import_module(name)
assert states == (str(numpy.random.get_state()), torch.get_rng_state().tolist())
assert "warp" not in sys.modules and "matplotlib.pyplot" not in sys.modules and not torch.cuda.is_initialized()
"""
    paths = {"PYTHONPATH": ":".join([str(SOURCE.parent), *sys.path]), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=paths)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"hand/a.py": "from phalanx.methods import b", "methods/b.py": ""}, "hand.a imports methods.b, which is not"),
        ({"hand/a.py": "import phalanx.render.b as b", "render/b.py": ""}, "hand.a imports render.b, which is not"),
        ({"hand/a.py": "def f():\n    from phalanx.data.b import g", "data/b.py": ""}, "hand.a imports data.b"),
        ({"hand/a.py": "from ..data import b", "data/b.py": ""}, "relative import"),
        ({"hand/a.py": "from importlib import import_module as i\nimport_module('phalanx.cli')", "cli.py": ""}, "cli"),
        ({"hand/a.py": "__import__('phal' + 'anx.cli')", "cli.py": ""}, "computed name"),
        ({"hand/a.py": "import phalanx"}, "imports the package itself"),
        ({"hand/a.py": "from phalanx import HandModel"}, "imports the package itself"),
        ({"hall/a.py": ""}, "hall is no room"),
        ({"synth/sense/a.py": "from phalanx.synth.scene import b", "synth/scene/b.py": ""}, "synth.sense.a imports"),
        ({"synth/paint/a.py": "from phalanx.synth.sense import b", "synth/sense/b.py": ""}, "synth.paint.a imports"),
        ({"synth/scene/a.py": "from phalanx.synth.sense import b", "synth/sense/b.py": ""}, None),
        ({"hand/a.py": "from phalanx.hand import b", "hand/b.py": "from phalanx.hand.a import c"}, "cycle: hand.a"),
        ({"hand/a.py": "from phalanx.hand.b import c", "hand/b.py": "from phalanx.geometry.x import y"}, None),
    ],
)
def test_the_rules_are_seen_to_be_broken(tmp_path, files, fault):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).with_name("__init__.py").touch()
    (tmp_path / "geometry").mkdir(exist_ok=True)
    (tmp_path / "geometry" / "x.py").touch()
    found = faults_of(tmp_path)
    assert any(fault in sentence for sentence in found) if fault else found == []


@pytest.mark.parametrize(
    "text", ["print(1)", "for i in range(3):\n    pass", "if True:\n    f()", "with f():\n    pass"]
)
def test_work_is_seen(tmp_path, text):
    (tmp_path / "a.py").write_text(f"import os\nX = 3\n{text}\nif __name__ == '__main__':\n    main()\n")
    assert len(work_at_import(tmp_path / "a.py")) == 1
