"""The package lists agree: pyproject.toml (ranges), requirements.lock (versions), environment.yml (conda)."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GIVEN = PROJECT["project"]["dependencies"], PROJECT["project"]["optional-dependencies"]["book"]
DIRECT = [Requirement(r) for each in (*GIVEN, PROJECT["dependency-groups"]["dev"]) for r in each]
LINES = (ROOT / "requirements.lock").read_text().splitlines()
LOCK = [Requirement(line) for line in LINES if line and not line.startswith("#")]
SUPPORTED = ["3.11", "3.12", "3.13"]


def locked(name, python, system="linux"):
    environment = {"python_version": python, "python_full_version": f"{python}.5", "sys_platform": system}
    environment |= {"os_name": "nt" if system == "win32" else "posix", "implementation_name": "cpython"}
    same = [each for each in LOCK if canonicalize_name(each.name) == canonicalize_name(name)]
    return [each for each in same if each.marker is None or each.marker.evaluate(environment)]


def exact(requirement):
    (pin,) = requirement.specifier
    assert pin.operator == "==" and "*" not in pin.version, f"{requirement} is not one version"
    return Version(pin.version)


@pytest.mark.parametrize("python", SUPPORTED)
def test_the_lock_holds_one_version_of_every_direct_dependency_within_its_range(python):
    for requirement in DIRECT:
        (pinned,) = locked(requirement.name, python)
        assert requirement.specifier.contains(exact(pinned)), f"{pinned} is outside {requirement}"


@pytest.mark.parametrize("python", SUPPORTED)
@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_no_package_is_locked_twice_for_one_machine(python, system):
    for name in {requirement.name for requirement in LOCK}:
        assert len(locked(name, python, system)) <= 1, name


def test_every_line_of_the_lock_is_one_exact_version_that_the_registry_has_and_torch_takes_its_companions():
    assert all(exact(requirement).local is None for requirement in LOCK)
    assert not [r.name for r in LOCK if re.match(r"nvidia-|cuda-|triton", r.name)]


def test_conda_takes_the_supported_pythons_and_all_else_from_the_lock():
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python, name = map(Requirement, conda)
    assert python.specifier == SpecifierSet(PROJECT["project"]["requires-python"])
    assert all(f"{version}.0" in python.specifier for version in SUPPORTED)
    assert (name.name, pip) == ("pip", {"pip": ["-r requirements.lock", "-e .[book]"]})
