import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from galgen.compare.onset import COMMON, definitions, onsets, votes
from galgen.config import Parameters
from galgen.experiment import Experiment, every_family
from galgen.figures.training import growth_table, onset_answer, onset_figure, onset_table
from galgen.models.clock import AveragedLearner
from galgen.runs.errors import GalgenError
from galgen.runs.store import Store

LEVELS = dict.fromkeys((10, 30, 100), 0.6)


def history(n, power, *, latents=200, last=200_000, seed=0, start=300):
    """Margins of models whose P(train closer) rises from .5 to 1 about the time `start` n^power."""
    rng = np.random.default_rng([seed, n])
    luck, side = rng.random((2, latents)), rng.choice([-1.0, 1.0], (2, latents))
    found = {}
    for shown in np.geomspace(500, last, 14).astype(int):
        copied = 1 / (1 + (start * n**power / shown) ** 2)
        a, b = (np.where(luck[k] < copied, own, side[k]) for k, own in enumerate((1.0, -1.0)))
        found[int(shown)] = (a, b)
    return found


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_a_known_power_is_within_its_interval(power):
    found = onsets({n: history(n, power, start=2000 / 30**power * 3) for n in (10, 30, 100)}, LEVELS)
    assert found.power.low < power < found.power.high
    assert found.power.high - found.power.low < 0.6
    said = onset_answer({"0.6": found})
    assert said.startswith("**At one learning rate, memorization sets in after a number")
    assert ("may grow in proportion to N, by each" in said) is (power == 1)
    assert f"as N to the power of {found.power} where P(train closer) exceeds 0.6; 1 is" in said


def test_a_growth_is_said_only_where_the_definitions_agree():
    levels = definitions({10: 0.94, 30: 0.8, 100: 0.6})
    assert list(levels)[2:] == [f"{level} at every N" for level in COMMON]
    assert list(levels.values())[1] == pytest.approx({10: 0.955, 30: 0.85, 100: 0.7})
    found = {name: onsets({n: history(n, 1) for n in LEVELS}, level) for name, level in levels.items()}
    moving, _, common, _ = found.values()
    assert moving.power.high < 1 < common.power.high  # a level that sinks with N is crossed the sooner
    assert onset_answer(found).startswith("**How the onset of memorization grows with N depends on what")
    shown = growth_table(found).data
    assert f"| 0.65 at every N | 0.65 | {round(common.at[10].value)}" in shown.replace("\xa0", "")


def test_the_onset_is_where_the_share_crosses_the_level():
    found = onsets({10: history(10, 1, latents=4000)}, {10: 0.75})
    assert found.at[10].value == pytest.approx(3000, rel=0.1)  # half of the samples are copies
    assert found.at[10].low < 3000 < found.at[10].high and found.power is None


def test_models_that_favour_nothing_have_no_onset_and_the_page_says_so():
    rng = np.random.default_rng(1)
    never = {t: tuple(rng.standard_normal((2, 256))) for t in (1000, 10_000, 100_000)}
    found = onsets({10: history(10, 1, latents=256), 100: never}, LEVELS)
    assert found.at[10] and found.at[100] is None and found.power is None
    said = onset_answer({"0.6": found})
    assert "by no definition do two N have one" in said and said.endswith("(N = 100: no onset.)")
    assert "not reached" in onset_table(found).data


def test_a_latent_that_ran_away_says_nothing_and_unequal_histories_are_refused():
    assert votes(np.array([1.0, np.nan, -1.0]), np.array([-1.0, np.nan, -1.0])).tolist() == [1, 0.5, 0.5]
    with pytest.raises(GalgenError, match="give the same to all"):
        onsets({10: history(10, 1), 30: history(30, 1, latents=100)}, LEVELS)


@pytest.mark.parametrize("sizes", [(10,), (10, 30, 100)])
def test_the_figure_has_a_row_for_each_N_and_the_onsets_upon_it(sizes):
    found = onsets({n: history(n, 1) for n in sizes}, LEVELS)
    figure = onset_figure(found)
    left, right = figure.axes[:2]
    assert len(left.collections) >= len(sizes) and left.get_yticklabels()[0].get_text() == "10"
    assert sum(line.get_linestyle() == ":" for line in right.lines) == len(sizes)
    assert len(right.get_legend().get_texts()) == len(sizes)
    assert onset_table(found).data.count("\n") >= len(sizes)
    plt.close(figure)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Experiment(
        Parameters(profile="smoke", N=[4, 6]), Store(tmp_path_factory.mktemp("s")), family="clock8"
    )


def test_the_average_is_the_mean_that_it_says(study):
    networks = study._networks(0)
    learner = study.family.learner(networks, None, None, study.settings)
    assert isinstance(learner, AveragedLearner)
    wanted = None
    for step in range(1, 21):
        learner.step(torch.rand(4, 1, 16, 16), torch.Generator().manual_seed(step), 1.0)
        now = torch.cat([p.flatten() for p in learner.net.parameters()]).double()
        share = min(1.0, 8 / step)
        wanted = now if wanted is None else wanted + share * (now - wanted)
    found = torch.cat([p.flatten() for p in learner.average.parameters()]).double()
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert (now - found).norm() > 1e-3


def test_a_study_is_planned_and_stored_but_in_no_comparison(study):
    assert "clock8" not in every_family(study.parameters) and "clock8" in every_family(
        study.parameters, studies=True
    )
    assert {record["name"] for record in study.plan()} == {
        f"clock8-N{n}-{m}" for n in (4, 6) for m in ("A0-0", "B1-1")
    }
    assert study.plan()[0]["chapters"] == ["03_two_models_diffusion"]
    model = study.pair(4)[0]
    drawn = study.samples(model, count=3)
    average = study.networks(model)["average"]
    again = study.family.flow(average, study.latents(3), study.start).images
    assert torch.equal(drawn, again)


def test_its_images_are_those_of_the_profile_averaged_over_blocks(tmp_path):
    parameters = Parameters(profile="smoke")
    study = Experiment(parameters, Store(tmp_path), family="clock8")
    study.settings = study.settings.model_copy(update={"image_size": 8})
    large = Experiment(parameters, Store(tmp_path)).dataset.images
    wanted = large.reshape(-1, 1, 8, 2, 8, 2).mean((3, 5))
    assert np.abs(study.dataset.images - wanted).max() <= 0.5 + 1e-6
    assert study.plan()[0]["name"].startswith("clock8")
