"""Imports go one way, and --help stays light."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import hardener

PACKAGE = Path(hardener.__file__).parent

# A module may import from its own room and from rooms further left.
ORDER = [
    ["errors", "arrays", "cores", "exit_codes", "frozen"],
    ["files"],
    ["progress", "data", "policy"],
    ["triggers"],
    ["documents"],
    ["model"],
    ["measuring", "subject"],
    ["scanning", "writing"],
    ["pruning", "repairing"],
    ["benching"],
    ["reporting"],
    ["demonstration"],
    ["cli"],
    ["entry"],
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def imports_of(source: str, package: str) -> set[str]:
    """Every module that a file may import, in whatever form: `from x import y` may mean x.y.

    Args:
        source: of the file.
        package: that the file lies in, for relative imports.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else ()), *filter(None, [node.module])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def _module(path: Path) -> str:
    parts = ("hardener", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


MODULES = {_module(path): path for path in PACKAGE.rglob("*.py")}


def _imports(path: Path) -> set[str]:
    """The modules that a file of the package imports, and of `from x import y` both readings."""
    package = _module(path) if path.stem == "__init__" else _module(path).rpartition(".")[0]
    return imports_of(path.read_text(encoding="utf-8"), package)


def test_every_room_has_a_place_in_the_order() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms - {"__init__", "__main__", "__pycache__", "py"} == set(RANK)


def test_imports_go_one_way() -> None:
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in ("__init__", "__main__"):
            continue
        for name in _imports(path):
            other = name.removeprefix("hardener.").split(".")[0]
            if name.startswith("hardener.") and other in RANK:
                assert RANK[other] <= RANK[room], f"{path} imports {name}"


def test_inside_a_room_imports_go_one_way_too() -> None:
    graph = {
        name: {other for other in _imports(path) if other in MODULES} - {name}
        for name, path in MODULES.items()
        # What the package and its rooms show to the outside is no way through the house.
        if path.stem != "__init__"
    }
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the modules


@pytest.mark.parametrize(
    "source",
    [
        "import hardener.cli",
        "import hardener.cli as c",
        "from hardener.cli import run",
        "from hardener import cli",
        "from .. import cli",
        "from ..cli import run",
        "def f():\n    from hardener import cli",
    ],
)
def test_every_form_of_import_is_read(source: str) -> None:
    assert "hardener.cli" in imports_of(source, "hardener.scanning")


def test_the_package_imports_neither_victims_nor_benchmarks_nor_what_tests_alone_need() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert not {name.split(".")[0] for name in _imports(path)} & {
            "models",
            "benchmarks",
            "scipy",
        }


def test_help_imports_no_heavy_package() -> None:
    heavy = "torch,onnxruntime,onnx,onnx_graphsurgeon,numpy,PIL"
    code = (
        "import sys; from hardener.cli import run; run(['--help']); run(['scan', '--help']); "
        f"print(sorted(set('{heavy}'.split(',')) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_pruning_and_measuring_wait_for_no_torch() -> None:
    code = (
        "import sys, hardener.pruning.prune, hardener.benching.bench; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_can_be_had() -> None:
    for name in hardener.__all__:
        assert getattr(hardener, name) is not None
