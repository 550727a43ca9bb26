"""Doors, layers and cycles, read off the source with `ast`. The checker is itself checked below."""

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from core.base.settings import ROOT

# Folder of core -> the folders it may import. What a folder may import may not import it.
LAYERS: dict[str, set[str]] = {
    "base": set(),
    "stats": set(),
    "tasks": {"base"},
    "backbones": {"base", "tasks"},
    "measures": {"base", "stats", "tasks", "backbones"},
    "store": {"base"},
    "lab": {"base", "tasks", "backbones", "measures", "store"},
    "figures": {"base", "stats", "tasks", "measures", "store"},
    "charts": set(),
    "exchange": {"base", "backbones", "measures", "store", "lab"},
    "commands": {
        "base", "stats", "tasks", "backbones", "measures", "store", "lab", "figures", "exchange",
    },
    "notebook": {"base", "stats", "tasks", "measures", "lab", "figures", "charts"},
}  # fmt: skip

# Library -> the modules (or packages) that may import it; None: the library may be used anywhere.
DOORS = {
    "streamlit": {"app", "pages"},
    "altair": {"core.charts"},
    "duckdb": {"core.store"},
    "safetensors": {"core.store", "core.exchange"},
    "transformers": {"core.backbones"},
    "tokenizers": {"core.backbones"},
    "huggingface_hub": {"core.backbones"},
    "datasets": {"core.tasks"},
}
CLOSED = {"torch": {"pages", "core.figures", "core.charts"}}
FORBIDDEN = {
    "pickle", "marshal", "dill", "trust_remote_code", "eval", "exec", "import_module", "__import__",
    "fcntl",  # not on Windows
    "PagesManager",  # what Streamlit keeps to itself
}  # fmt: skip
DEEPEST = 6  # steps of the longest chain of imports between folders
DEEPEST_MODULE = 15  # steps of the longest chain between modules, as they are when loaded


@cache
def sources() -> dict[str, str]:
    folders = ("core", "demo", "pages")
    files = [*(f for d in folders for f in (ROOT / d).rglob("*.py")), ROOT / "app.py"]
    return {module_name(f): f.read_text("utf-8") for f in files if f.is_file()}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def inside(module: str, folders: Iterable[str]) -> bool:
    return any(module == f or module.startswith(f + ".") for f in folders)


def imported(nodes: Iterable[ast.AST], known: set[str]) -> Iterator[str]:
    """Full names; `from core import x` is `core.x` where that is a module."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used here"
            base = node.module or ""
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in known or base == "core" else base


def at_import_time(tree: ast.AST) -> Iterator[ast.AST]:
    """What is carried out when a module is loaded: no functions, no imports for types only."""
    for node in ast.iter_child_nodes(tree):
        for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not for_types and not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        ):
            yield node
            yield from at_import_time(node)


def part_of(module: str) -> str:
    return module.split(".")[1] if module.startswith("core.") else ""


def violations(module: str, source: str, known: set[str]) -> list[str]:
    tree = ast.parse(source)
    names = set(imported(ast.walk(tree), known))
    checks = doors(module, names), layers(module, names), private(tree), words(module, tree)
    return [complaint for check in checks for complaint in check]


def doors(module: str, names: set[str]) -> Iterator[str]:
    for library in {n.split(".")[0] for n in names}:
        if library in DOORS and not inside(module, DOORS[library]):
            yield f"{module} imports {library}"
        if inside(module, CLOSED.get(library, ())):
            yield f"{module} imports {library}"


def private(tree: ast.AST) -> Iterator[str]:
    """Modules and names of others that may change without a word."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if any(part.startswith("_") for part in name.split(".") if part != "__future__"):
                yield f"imports the private {name}"


def layers(module: str, names: set[str]) -> Iterator[str]:
    part = part_of(module)
    for target in {part_of(n) for n in names} - {"", part}:
        if part and target not in LAYERS.get(part, {target}):
            yield f"{module} imports core.{target}"
    if module.startswith(("core", "demo")) and any(inside(n, {"app", "pages"}) for n in names):
        yield f"{module} imports a page"
    if not module.startswith("demo") and any(inside(n, {"demo"}) for n in names):
        yield f"{module} imports demo"


def words(module: str, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found = {a.name.split(".")[0] for a in names} | {getattr(node, "module", None)}
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=name):
                found = {name}
            case ast.Constant(value=str(text)):
                found = {text} & {"trust_remote_code"}
            case _:
                continue
        if isinstance(node, ast.Attribute):
            found -= {"eval"}  # module.eval() switches dropout off
        if ast.unparse(node) == "weights_only=False":
            yield f"{module} says weights_only=False"
        for name in sorted(filter(None, found & FORBIDDEN)):
            yield f"{module} says {name}"
        if found & {"environ", "getenv"} and module != "core.base.settings":
            yield f"{module} reads the environment"


def graph(known: dict[str, str]) -> dict[str, set[str]]:
    """Module -> the known ones that are loaded with it."""
    return {
        module: {n for n in imported(at_import_time(ast.parse(text)), set(known)) if n in known}
        - {module}
        for module, text in known.items()
    }


def cycle(known: dict[str, str]) -> list[str]:
    try:
        TopologicalSorter(graph(known)).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("module", sorted(sources()))
def test_module_keeps_doors_and_layers(module: str) -> None:
    known = sources()
    assert violations(module, known[module], set(known)) == []


def test_core_has_no_import_cycle() -> None:
    assert cycle({m: s for m, s in sources().items() if inside(m, {"core", "demo"})}) == []


def test_every_folder_of_core_is_a_layer_and_no_module_lies_loose() -> None:
    there = {f.name for f in (ROOT / "core").iterdir() if f.name != "__pycache__"}
    assert there == {*LAYERS, "__init__.py", "__main__.py"}


def test_layers_are_not_deep() -> None:
    def depth(folder: str) -> int:
        return max((1 + depth(below) for below in LAYERS[folder]), default=0)

    assert max(map(depth, LAYERS)) <= DEEPEST


def test_no_chain_of_modules_is_long() -> None:
    known = {m: s for m, s in sources().items() if inside(m, {"core"})}
    below, depth = graph(known), dict[str, int]()
    for module in TopologicalSorter(below).static_order():
        depth[module] = max((1 + depth[n] for n in below[module]), default=0)
    assert max(depth.values()) <= DEEPEST_MODULE


def test_every_permission_is_used() -> None:
    known = sources()
    used: dict[str, set[str]] = {folder: set() for folder in LAYERS}
    doors_used: dict[str, set[str]] = {library: set() for library in DOORS}
    for module, source in known.items():
        names = set(imported(ast.walk(ast.parse(source)), set(known)))
        if part_of(module) in used:
            used[part_of(module)] |= {part_of(n) for n in names} - {"", part_of(module)}
        for library, places in DOORS.items():
            if any(inside(n, {library}) for n in names):
                doors_used[library] |= {place for place in places if inside(module, {place})}
    assert used == LAYERS
    assert doors_used == DOORS


@pytest.mark.parametrize(
    ("module", "planted", "complaint"),
    [
        ("core.lab.lab", "import streamlit as st", "imports streamlit"),
        ("pages.transfer", "import altair", "imports altair"),
        ("core.figures.queries", "import duckdb", "imports duckdb"),
        ("core.measures.tuning", "from safetensors.torch import save", "imports safetensors"),
        ("demo.pretrain", "from transformers import T5Config", "imports transformers"),
        ("core.tasks.data", "def f():\n    import tokenizers", "imports tokenizers"),
        ("pages.common.controls", "import torch", "imports torch"),
        ("core.charts", "from torch import Tensor", "imports torch"),
        ("core.lab.lab", "import os\nx = os.environ['HOME']", "reads the environment"),
        ("core.store", "from os import getenv", "reads the environment"),
        ("core.base.specs", "from core.tasks import Task", "imports core.tasks"),
        ("core.backbones.hooks", "from core import store", "imports core.store"),
        ("core.measures.evaluation", "from core.store import Store", "imports core.store"),
        ("core.stats.neurons", "import core.measures.sweeps", "imports core.measures"),
        ("core.store", "from core.tasks.data import Examples", "imports core.tasks"),
        ("core.lab.lab", "from core.figures import queries", "imports core.figures"),
        ("core.charts", "from core.base.specs import key", "imports core.base"),
        ("core.tasks.data", "from demo.splits import splits", "imports demo"),
        ("core.lab.lab", "import pages.overview", "imports a page"),
        ("core.store", "import pickle", "says pickle"),
        ("core.store", "from pickle import loads", "says pickle"),
        ("app", "load(x, trust_remote_code=True)", "says trust_remote_code"),
        ("app", "torch.load(x, weights_only=False)", "says weights_only=False"),
        ("app", "eval('1')", "says eval"),
        ("core.store", "import fcntl", "says fcntl"),
        ("core.store", "import marshal", "says marshal"),
        ("core.store", "exec('1')", "says exec"),
        ("core.store", "importlib.import_module('core.lab')", "says import_module"),
        ("app", "load(**{'trust_remote_code': True})", "says trust_remote_code"),
        ("app", "from streamlit.runtime.pages_manager import PagesManager", "says PagesManager"),
        ("demo.splits", "import pages.overview", "imports a page"),
    ],
)
def test_the_checker_finds_what_is_planted(module: str, planted: str, complaint: str) -> None:
    found = violations(module, planted, {"core.store", "core.figures.queries"})
    assert f"{module} {complaint}" in found


@pytest.mark.parametrize("planted", ["from a._b import c", "from a.b import _c", "import a._b"])
def test_the_checker_finds_a_private_module_or_name(planted: str) -> None:
    found = violations("core.data", planted, set())
    assert any(said.startswith("imports the private a.") for said in found)


def test_what_is_imported_is_declared() -> None:
    """A library that only comes with another one can go with its next version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {Requirement(r).name.lower().replace("_", "-") for r in project["dependencies"]}
    known, sold = sources(), packages_distributions()
    for module, source in known.items():
        for library in {n.split(".")[0] for n in imported(ast.walk(ast.parse(source)), set(known))}:
            if library not in {"core", "demo", "pages", "app", *sys.stdlib_module_names}:
                names = {d.lower().replace("_", "-") for d in sold.get(library, [library])}
                assert names & declared, f"{module} imports {library}"


def test_the_checker_lets_the_usual_pass() -> None:
    usual = "import torch\nfrom core.base.specs import key\nmodel.eval()\nload(weights_only=True)"
    assert violations("core.measures.tuning", usual, set()) == []


def test_the_checker_finds_a_planted_cycle() -> None:
    planted = {
        "core.a.x": "from core.b import y", "core.b.y": "import core.c.z",
        "core.c.z": "import core.a.x",
    }  # fmt: skip
    assert cycle(planted)
    assert cycle({**planted, "core.c.z": "def late():\n    import core.a.x"}) == []
