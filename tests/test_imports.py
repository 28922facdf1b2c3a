"""Heavy packages are imported where they are used, and rooms import lower rooms only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_beira

HEAVY = {"torch", "skorch", "mne", "nilearn", "nibabel", "matplotlib", "pandas", "scipy", "sklearn"}

# Modules imported by a statement, in a fresh interpreter: {statement: packages left out}.
STATEMENTS = {
    "import sklearn_beira": HEAVY,
    "from sklearn_beira import compare, EEGFilter, align": {"torch", "skorch", "nilearn"},
    "from sklearn_beira import BoldTwin": {"matplotlib", "mne_lsl"},
    "from sklearn_beira.cli import main": HEAVY,  # what --help needs
}

PACKAGE = Path(sklearn_beira.__file__).parent


@pytest.mark.parametrize("statement", STATEMENTS)
def test_packages_are_imported_only_where_they_are_used(statement):
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = STATEMENTS[statement] & set(done.stdout.split())
    assert not found


# Rooms on one floor do not import each other.
FLOORS = [
    {"_version"},
    {"_utils", "exceptions"},
    {"eeg", "bold"},
    {"alignment", "features"},
    {"cleaning"},
    {"datasets"},
    {"regressor"},
    {"baselines"},
    {"evaluation"},
    {"transfer"},
    {"inspection"},
    {"viz"},
    {"persistence"},
    {"realtime"},
    {"cli"},
    {"__main__"},
]
# Imports upwards, inside functions only: {(file, room): reason}.
ALLOWED = {
    ("evaluation/comparison.py", "viz"): "Comparison.plot draws",
    ("evaluation/brain_map.py", "viz"): "BrainMap.plot draws",
}


def imported_rooms(file):
    """Yield the room and the line of each import of another room in a file, at any depth."""
    n_up = len(file.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == n_up:
            names = [node.module] if node.module else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module] if node.module.startswith("sklearn_beira.") else []
            names = [name.removeprefix("sklearn_beira.") for name in names]
        else:
            continue
        for name in names:
            room = name.split(".")[0]
            if not any(room in rooms for rooms in FLOORS):  # a public name of the root
                room = getattr(sklearn_beira, room).__module__.split(".")[1]
            yield room, node.lineno


def test_rooms_import_lower_rooms_only():
    floor = {room: k for k, rooms in enumerate(FLOORS) for room in rooms}
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix != ".typed"}
    assert set(floor) == rooms - {"__init__", "__pycache__"}
    wrong = []
    for file in PACKAGE.rglob("*.py"):
        name = file.relative_to(PACKAGE)
        own = name.parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for room, line in imported_rooms(file):
            if room != own and floor[room] >= floor[own] and (str(name), room) not in ALLOWED:
                wrong.append(f"{name}:{line} imports {room}")
    assert not wrong


@pytest.mark.parametrize("room", ["evaluation", "viz"])
def test_rooms_that_take_any_model_do_not_import_the_regressor(room):
    files = (PACKAGE / room).rglob("*.py")
    assert "regressor" not in {name for file in files for name, _ in imported_rooms(file)}
