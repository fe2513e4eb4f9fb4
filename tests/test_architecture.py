"""Imports go one way, and --help stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import hardener

PACKAGE = Path(hardener.__file__).parent

# A module may import from its own room and from rooms further left.
ORDER = [
    ["errors", "arrays", "cores", "exit_codes"],
    ["files"],
    ["progress", "data", "policy"],
    ["results"],
    ["model"],
    ["measuring"],
    ["scanning", "writing"],
    ["pruning", "repairing"],
    ["benching"],
    ["reporting", "schemas"],
    ["demonstration"],
    ["console", "options"],
    ["summaries", "next_commands"],
    ["cli"],
    ["entry"],
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def test_every_room_has_a_place_in_the_order() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms - {"__init__", "__main__", "__pycache__", "py"} == set(RANK)


def test_imports_go_one_way() -> None:
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in ("__init__", "__main__"):
            continue
        for name in _imports(path):
            if name.startswith("hardener."):
                other = name.split(".")[1]
                assert RANK[other] <= RANK[room], f"{path} imports {name}"


def test_nothing_in_the_package_imports_victims_or_benchmarks() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert not {name.split(".")[0] for name in _imports(path)} & {"models", "benchmarks"}


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
