"""What pyproject.toml promises: the pinned libraries, the program, and the files it reads."""

import tomllib
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from core.base.settings import ROOT

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
WRITTEN = [Requirement(text) for text in PROJECT["dependencies"]]


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def pinned(file: Path) -> dict[str, str]:
    """Name and version of every `name==version` in a file of requirements."""
    lines = [line for line in file.read_text("utf-8").splitlines() if line and line[0] not in "#-"]
    found = {}
    for requirement in map(Requirement, lines):
        (only,) = requirement.specifier
        assert only.operator == "==", f"{requirement} is no pin"
        found[normal(requirement.name)] = only.version
    return found


PINS = pinned(ROOT / "requirements.txt")


@pytest.mark.parametrize("requirement", WRITTEN, ids=str)
def test_a_requirement_is_pinned_inside_its_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains(PINS[normal(requirement.name)])
    assert not requirement.specifier.contains("999"), "a range has an upper end"


def test_every_pin_is_a_requirement() -> None:
    assert set(PINS) == {normal(r.name) for r in WRITTEN}
    assert len(WRITTEN) == len(PINS), "each is named once"


def test_the_tests_need_other_libraries_than_the_dashboard() -> None:
    assert not set(pinned(ROOT / "tests" / "requirements.txt")) & set(PINS)


def test_the_program_is_the_command_line() -> None:
    module, _, name = PROJECT["scripts"]["skillscope"].partition(":")
    assert getattr(import_module(module), name) is import_module("core.__main__").main


def test_a_wheel_has_every_package_and_every_file_that_they_read() -> None:
    setuptools = PYPROJECT["tool"]["setuptools"]
    patterns = setuptools["packages"]["find"]["include"]
    for top in ("core", "demo"):
        files = [f for f in (ROOT / top).rglob("*") if f.is_file() and "__pycache__" not in f.parts]
        for folder in {f.parent for f in files if f.suffix == ".py"}:
            assert (folder / "__init__.py").is_file()
            name = ".".join(folder.relative_to(ROOT).parts)
            assert any(fnmatch(name, pattern) for pattern in patterns)
        packed = {
            file
            for package, data in setuptools["package-data"].items()
            for each in data
            for file in ROOT.joinpath(*package.split(".")).glob(each)
        }
        assert {f for f in files if f.suffix != ".py"} <= packed


def test_the_citation_is_of_this_version_and_license() -> None:
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert "cff-version: 1.2.0\n" in citation
    assert f'\nversion: "{PROJECT["version"]}"\n' in citation
    assert f"\nlicense: {PROJECT['license']}\n" in citation
    license_ = (ROOT / "LICENSE").read_text("utf-8")
    assert license_.startswith(f"{PROJECT['license']} License\n")
    assert f"Copyright (c) 2026 {PROJECT['authors'][0]['name']}\n" in license_


def test_what_the_readme_cites_is_what_the_citation_file_cites() -> None:
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    lines = (ROOT / "CITATION.cff").read_text("utf-8").splitlines()
    titles = [line.split('"')[1] for line in lines if line.startswith("    title:")]
    assert len(titles) == 3
    for title in titles:
        assert f"*{title}.*" in readme
