"""`pip install .` suffices to train, simulate, audit and run the example; the book needs its extra."""

import ast
import re
import shutil
import subprocess
import venv
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image
from test_budget import python_lines
from test_environment import GIVEN, PROJECT

ROOT = Path(__file__).parents[1]
RUN = """
import sys
from galgen.cli import main
from galgen.models.families import FAMILIES, STUDIES

[*(FAMILIES | STUDIES).values()]  # their modules
for line in sys.argv[1:]:
    assert main(line.split()) == 0, line
    if line.startswith("train"):
        assert "galgen.models.gan" in sys.modules
        assert not {"matplotlib.pyplot", "matplotlib.figure"} & {*sys.modules}
"""


def needed(requirements):
    """The distributions that these bring, and those that they bring in turn."""
    found, todo = {}, [(Requirement(each), "") for each in requirements]
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        for wanted in ("", *requirement.extras):
            if (name := canonicalize_name(requirement.name), wanted) not in found:
                found[name, wanted] = distribution(name)
                todo += [(Requirement(each), wanted) for each in found[name, wanted].requires or ()]
    return found.values()


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The python of an environment that has galgen, galbook, the dependencies, and nothing of an extra."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    (there,) = folder.glob("lib/python*/site-packages")
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    for package in wheel["packages"]:
        shutil.copytree(ROOT / package, there / Path(package).name)
    for source, target in wheel["force-include"].items():
        (there / target).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, there / target)
    for each in (distribution("galgen"), *needed(GIVEN[0])):
        for top in {file.parts[0] for file in each.files} - {"..", "__pycache__"}:
            if not top.endswith(".pth") and not (there / top).exists():
                (there / top).symlink_to(each.locate_file(top))
    return folder / "bin" / "python"


def run(bare, folder, *given, code=0):
    environment = {"PATH": str(bare.parent), "GALGEN_STORE": str(folder / "store"), "OMP_NUM_THREADS": "1"}
    command = [bare, *map(str, given)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


def test_the_commands_need_no_extra_and_a_training_imports_nothing_that_draws(bare, tmp_path):
    models = f"--models {ROOT / 'results' / 'models'}"
    lines = [
        "train diffusion-N8-A0-0 --profile smoke --N 8",
        *(f"data simulate --count 40 --size 16 --seed {seed} --out {seed}" for seed in range(3)),
        "data import 0/images.npy --size 16 --out imported",
        "audit --samples imported --train 1 --held-out 2 --morphology 4 --out report",
        f"models {models}",
        f"sample gan-N4000-A -n 12 {models} --out x.fits",
        "sample conditional -n 2 --out packaged.npz",  # of the wheel: no checkout is here
    ]
    done = run(bare, tmp_path, "-c", RUN, *lines)
    assert (tmp_path / "report.html").is_file()
    assert "gan-N4000-A0-0" in done.stdout
    assert np.load(tmp_path / "packaged.npz")["model"] == "conditional-N4000-A0-0"


def test_the_wheel_has_five_models_of_simulated_galaxies(bare, tmp_path):
    listed = run(bare, tmp_path, "-m", "galgen", "models")
    wanted = ["conditional-N4000-A0-0", "conditional-N4000-B1-1", "diffusion-N10-A0-0"]
    wanted += ["diffusion-N4000-A0-0", "diffusion-N4000-B1-1"]
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert [line[0] for line in lines] == wanted and {line[-1] for line in lines} == {"simulated"}
    assert "no models are trained" in listed.stderr


def test_the_example_is_short_and_shows_the_cosine_beside_null_floor_and_ceiling(bare, tmp_path):
    script = ROOT / "examples" / "two_models.py"
    assert len(script.read_text().splitlines()) <= 100
    options = ["--N", "64", "--shown", "2048", "--samples", "16", "--out", tmp_path / "picture.png"]
    said = run(bare, tmp_path, script, *options)
    lines = re.findall(r"^(.+?) +median anomaly cosine (\S+) \[(\S+), (\S+)\]$", said.stdout, re.MULTILINE)
    assert [line[0].split(":")[0] for line in lines] == ["A and B", "null", "floor", "ceiling"]
    assert all(-1 <= float(low) <= float(value) <= float(high) <= 1 for _, value, low, high in lines)
    agreement, null = (float(line[1]) for line in lines[:2])
    assert agreement > 0.45 and abs(null) < 0.1  # noise in place of galaxies gives 0.24
    assert Image.open(tmp_path / "picture.png").size[0] > 800


def test_the_example_of_a_network_with_timesteps_is_short_and_has_both_answers(bare, tmp_path):
    script = ROOT / "examples" / "your_diffusion_model.py"
    assert python_lines(script.read_text()) <= 60
    said = run(bare, tmp_path, script, "--steps", "96", "--out", tmp_path / "picture.png").stdout
    assert re.search(
        r"^membership: AUC 0\.\d\d \[.*\ndenoising gap -?\d\.\d\d \[.* dB \(n = 310\)$", said, re.M
    )
    assert Image.open(tmp_path / "picture.png").size[0] > 500


def test_the_book_without_its_extra_says_so_in_one_line(bare, tmp_path):
    done = run(bare, tmp_path, "-m", "galbook.build", "prepare", "--profile", "smoke", code=2)
    assert done.stdout == ""
    assert re.fullmatch(r"galgen: error: .*pip install '\.\[book\]'\n", done.stderr)


def test_each_dependency_is_imported_by_galgen_and_nothing_of_the_extra_is():
    direct, extra = ({canonicalize_name(Requirement(each).name) for each in given} for given in GIVEN)
    nodes = [
        node for path in (ROOT / "galgen").rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))
    ]
    names = {each.name for node in nodes if isinstance(node, ast.Import) for each in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    of = packages_distributions()
    used = {canonicalize_name(each) for name in names for each in of.get(name.partition(".")[0], ())}
    assert direct <= used and not extra & used
