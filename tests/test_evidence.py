import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_hostile import JUNK, of_json

from galbook import denoising, discriminator, morphology
from galbook.agreement import two_models_at
from galbook.claims.findings import Findings
from galbook.denoising import LEVELS
from galbook.discriminator import before_memory
from galbook.kept import once
from galbook.scoreboard import board, checks
from galgen.compare.agreement import TwoModels
from galgen.experiment import Experiment
from galgen.profiles import Parameters
from galgen.runs.errors import Damaged
from galgen.runs.files import file_sha256, read_json, write_json
from galgen.runs.store import Array, read_answer, write_answer

RNG = np.random.default_rng(0)
UNSEEN, A, B = (RNG.integers(low, low + 100, (60, 1, 8, 8), dtype=np.uint8) for low in (0, 50, 100))
PAIR = SimpleNamespace(pair=lambda n: ("A", "B"))


def experiment(known):
    """One whose D scores brightness, and so the training images higher, from so many images shown on."""

    def networks(model, shown):
        sign = 1 if shown >= known[model] else -1
        return {"discriminator": lambda x: sign * x.mean((1, 2, 3))}

    return SimpleNamespace(
        models=PAIR,
        train=lambda model: SimpleNamespace(summary={"weights": [8, 16, 32, 64]}),
        networks=networks,
        images=SimpleNamespace(of={"A": A, "B": B}.get, unseen=UNSEEN),
    )


@pytest.mark.parametrize(
    ("known", "last"),
    [
        ({"A": 32, "B": 64}, 16),
        ({"A": 64, "B": 16}, 8),
        ({"A": 100, "B": 100}, 64),  # never
        ({"A": 8, "B": 100}, 8),  # from the first on
    ],
)
def test_the_reading_before_memory_is_the_last_at_which_neither_judge_knows_its_images(known, last):
    assert before_memory.__wrapped__(experiment(known), 60) == last


def test_the_gap_of_a_denoiser_is_what_it_gains_by_its_own_images():
    """One that returns its training image where it sees one, and else the noisy image."""

    def denoiser(known):
        known = torch.from_numpy(known) / 255

        def denoise(y, sigma):
            far = (y[:, None] - known).square().mean((2, 3, 4))
            near = known[far.argmin(1)]
            return torch.where((far.min(1).values < 0.05)[:, None, None, None], 0.9 * near + 0.1 * y, y)

        return denoise

    images = {"A": A, "B": B}.get
    made = SimpleNamespace(models=PAIR, images=SimpleNamespace(of=images), networks=images)
    made.family = SimpleNamespace(denoiser=denoiser)
    found = denoising._training_gap.__wrapped__(made, 60)
    assert found.shape == LEVELS.shape
    assert found[4] == pytest.approx(20, abs=0.5)  # a tenth of the noise is left


def test_a_question_is_asked_once_and_anew_of_other_models(smoke, trained, monkeypatch):
    asked = []

    @once
    def how_many(experiment, N: int, k: int = 0, shown: int | None = None) -> dict[int, float]:
        asked.append((N, k, shown))
        return {N: float("nan")}

    blind, told = smoke["diffusion"], smoke["conditional"]
    monkeypatch.setattr("galgen.runs.store.version", lambda code: "1")
    for _ in range(2):
        (value,) = how_many(blind, 12).values()
        assert np.isnan(value)
    assert asked == [(12, 0, None)] and list(how_many(told, 12)) == [12] and len(asked) == 2
    for asking in ((12, 0), (12, 0, None), (12, 1), (12, 1, None), (12, 0, 8)):
        how_many(blind, *asking)
    assert asked[2:] == [(12, 1, None), (12, 0, 8)], "what is usual need not be said"
    for level in (0.3, 0.1 + 0.2):
        how_many(blind, 12, 0, [level])
    assert len(asked) == 5, "a last digit is the processor's"
    other = Experiment(Parameters(profile="smoke", N=12, seed=1), trained)
    assert other.keys() != blind.keys()


def test_answers_are_read_as_what_they_were(tmp_path, smoke):
    test = two_models_at(smoke["diffusion"], 12)
    fresh = two_models_at.__wrapped__(smoke["diffusion"], 12)
    assert test.agree == fresh.agree and test.memorization == fresh.memorization
    assert test.agreement.value == pytest.approx(test.agree.value, abs=1e-6), "one quantity has one value"
    np.testing.assert_array_equal(test.cosines["anomaly"].copying, fresh.cosines["anomaly"].copying)
    tree = {("a", (1, 0.5)): [1.5, None], ("items", 2): [float("inf")]}
    write_answer(tmp_path / "a.json", tree, dict[tuple, list[float | None]])
    assert read_answer(tmp_path / "a.json", dict[tuple, list[float | None]]) == tree
    none = {"same": np.array([])}  # as of pairs that a profile does not train
    write_answer(tmp_path / "none.json", none, dict[str, Array])
    assert read_answer(tmp_path / "none.json", dict[str, Array])["same"].shape == (0,)
    with pytest.raises(Damaged, match="no such answer"):
        read_answer(tmp_path / "a.json", list[int])
    with pytest.raises(Damaged, match="no such answer"):
        read_answer(tmp_path / "missing.json", list[int])
    os.mkfifo(tmp_path / "pipe.json")  # which nobody writes to
    with pytest.raises(Damaged, match="no such answer"):
        read_answer(tmp_path / "pipe.json", list[int])


@pytest.fixture(scope="module")
def answer(smoke, tmp_path_factory):
    """The tree that an answer is written as, and where to write another."""
    path = tmp_path_factory.mktemp("answer") / "answer.json"
    write_answer(path, two_models_at(smoke["diffusion"], 12), TwoModels)
    return json.loads(path.read_text()), path


ITEMS = st.fixed_dictionaries({"items": st.recursive(JUNK, lambda part: st.lists(part, max_size=2))})
few = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@few
@given(data=st.data(), kind=st.sampled_from([TwoModels, dict[int, TwoModels], list[float], Array]))
def test_any_other_answer_is_damaged_or_of_its_type(answer, data, kind):
    tree, path = answer
    path.write_text(json.dumps(data.draw(of_json(tree) | ITEMS | JUNK)))
    try:
        found = read_answer(path, kind)
    except Damaged as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        write_answer(path, found, kind)
        assert type(read_answer(path, kind)) is type(found)


SPOILT = [
    "[" * 100_000,
    '{"items": 5}',
    '{"items": [[{}, 1]]}',
    '{"items": [[[1, {}], 1]]}',
    '["x"]',
    '{"x": 1}',
    "5",
]


@pytest.mark.parametrize("content", SPOILT, ids=lambda text: text[:20])
@pytest.mark.parametrize("kind", [dict[int, float], Array])
def test_an_answer_of_the_right_sum_and_wrong_content_is_asked_anew(
    smoke, monkeypatch, capsys, kind, content
):
    monkeypatch.setattr("galgen.runs.store.version", lambda code: str(kind))
    monkeypatch.setattr("galgen.runs.store._SOUND", set())
    value = {12: 0.5} if kind == dict[int, float] else np.array([12, 0.5])
    asked = []

    def how_many(experiment, N: int):
        asked.append(N)
        return value

    how_many.__annotations__["return"] = kind
    how_many, store = once(how_many), smoke["diffusion"].store
    how_many(smoke["diffusion"], 12)
    (run,) = (run for run in store.runs("answers") if run.record["code"] == str(kind))
    (run.path / "answer.json").write_text(content)
    sums = {"sha256": {"answer.json": file_sha256(run.path / "answer.json")}}
    write_json(run.path / "record.json", read_json(run.path / "record.json") | sums)
    before, _ = len(asked), capsys.readouterr()  # whoever comes first simulates, with a bar
    np.testing.assert_equal(how_many(smoke["diffusion"], 12), value)
    said = capsys.readouterr().err
    assert len(asked) == before + 1 and said.count("\n") == 1
    assert f"{run.path / 'answer.json'} holds no such answer" in said and "set aside" in said


def test_the_board_has_the_agreement_of_the_two_models_test_and_controls_have_theirs(smoke):
    gan = smoke["gan"]
    assert board(gan, 12)["agreement"] == two_models_at(gan, 12).agreement
    assert {"held out", "blurred", "Gaussian", "empirical denoiser"} == set(checks(gan))


def test_fit_is_asked_of_images_that_no_claim_uses(smoke):
    blind = smoke["diffusion"]
    assert (
        len(morphology.unused(blind)) and morphology.unused(blind) is blind.images.unseen
    )  # fewer than 200 are left
    found = morphology.fit(blind, 12)
    assert set(found.models) == set(found.gaussians) and found.gain is None


def test_findings_ask_each_family_what_it_can_be_asked(smoke):
    blind, gan = Findings(smoke["diffusion"]), Findings(smoke["gan"])
    assert blind.small == blind.large == 12 and blind.at(12).endswith("passes")
    for what, count in {"agree": 1, "closer": 1, "gained": 2, "told": 2}.items():
        assert len(blind.cells(what)[12]) == count, what
    (known,) = {len(gan.cells("knows")[12])}
    assert known == 2 and gan.cells("knows")[12] == discriminator.knows(smoke["gan"], 12)
    test, found = two_models_at(smoke["diffusion"], 12), blind.cells("closer")[12][0]
    assert found.value == test.closer.value - max(0.5, test.memorization.gaussians.closer.value)


def test_a_model_is_as_far_off_in_morphology_as_a_blur_between_the_rungs():
    shaped = morphology.Shaped({}, [0.0, 0.01, 0.1, 0.1, 0.2], {}, 9)
    assert shaped.pixel == 0.1 and shaped.blur(0.055) == pytest.approx(0.75)
    assert shaped.blur(-1.0) == 0 and shaped.blur(0.15) == pytest.approx(1.5) and shaped.blur(0.2) == np.inf


def test_more_galaxies_are_others_and_none_of_given_ones(smoke):
    images = smoke["diffusion"].images
    more = images.more(4)
    assert more.shape[1:] == images.dataset.images.shape[1:]
    assert not {x.tobytes() for x in more} & {x.tobytes() for x in images.dataset.images}
    given = Parameters(profile="smoke", data=str(images.dataset.directory), N=12)
    assert Experiment(given, smoke["diffusion"].store).images.more(4) is None
