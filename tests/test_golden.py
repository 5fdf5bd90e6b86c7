"""The keys of all trainings, as they were when the results were committed: no edit may move one in passing.

Of every family and study, profile, N and precision, without pixels; with them for the galaxies of smoke and
laptop, on a processor whose numpy draws them as that of `results/` did. `python tests/test_golden.py` writes
the file anew: a commit that does so says which trainings it voids, and why.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from galgen.experiment import every_family
from galgen.profiles import PROFILES, Parameters
from galgen.runs import code_version as code
from galgen.runs.store import Store

GOLDEN = Path(__file__).with_name("golden.json")
PROCESSOR = "X86_V4"  # AVX512, with whose kernels numpy drew them; without, 22 of 10 million pixels differ
HERE = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
PRECISIONS = ("fp32", "bf16")


def without_pixels(profile, precision):
    """By training, its key with no data, which needs none."""
    families = every_family(Parameters(profile=profile, precision=precision), studies=True).values()
    return {t.name: e.store.key(**e.recipe(t), data="") for e in families for t in e.models.trainings()}


def with_pixels(profile, store):
    """By training, its key in the store, in bfloat16, as in `results/`."""
    parameters = Parameters(profile=profile, precision="bf16")
    return {k: v for e in every_family(parameters, store, studies=True).values() for k, v in e.keys().items()}


def golden():
    return json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("profile", PROFILES)
def test_no_key_of_a_training_has_moved(profile, precision):
    assert without_pixels(profile, precision) == golden()["recipes"][profile][precision]


@pytest.mark.skipif(PROCESSOR not in HERE, reason=f"a processor without {PROCESSOR}")
@pytest.mark.parametrize("profile", ["smoke", pytest.param("laptop", marks=pytest.mark.slow)])
def test_no_key_has_moved_with_the_galaxies_that_the_code_draws(profile, store):
    assert with_pixels(profile, Store(store)) == golden()["trainings"][profile]


def test_what_is_left_out_of_versions_are_modules_that_exist():
    assert all(code._module(name) for name in code._LEFT_OUT | code._VALUES)


if __name__ == "__main__":
    recipes = {profile: {p: without_pixels(profile, p) for p in PRECISIONS} for profile in PROFILES}
    trainings = {profile: with_pixels(profile, Store()) for profile in ("smoke", "laptop")}
    found = {"processor": PROCESSOR, "recipes": recipes, "trainings": trainings}
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
