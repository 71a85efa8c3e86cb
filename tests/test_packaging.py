"""What pyproject.toml, constraints.txt and CITATION.cff say agrees."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import skdeepcluster

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def requirements():
    project = PROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    groups.append(PROJECT["build-system"]["requires"])
    named = [Requirement(line) for group in groups for line in group]
    return [requirement for requirement in named if requirement.name != project["name"]]


@pytest.fixture(scope="module")
def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = (re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines if line[0] != "#")
    return {canonicalize_name(match[1]): match[2] for match in pinned}


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_requirement_is_pinned_within_its_bounds(requirement, pins):
    assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


def test_the_citation_names_this_version():
    assert f"version: {skdeepcluster.__version__}\n" in (ROOT / "CITATION.cff").read_text()
