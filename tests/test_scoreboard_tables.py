from galgen.compare.scoreboard import QUESTIONS
from galgen.compare.uncertainty import Outcome
from galgen.figures import scoreboard
from galgen.figures.scoreboard import Use


def answer(p, value=0.5):
    return Outcome(value, 0.4, 0.6, p)


YES, NO = answer(0.001), answer(0.5)


def test_a_question_is_of_use_when_it_finds_what_it_must_and_nothing_else():
    checks = {"held out": NO, "empirical denoiser": YES, "blurred": NO, "Gaussian": NO}
    checks = {name: {"memorization": found} for name, found in checks.items()}
    use = scoreboard.use_of("memorization", checks, 0.01)
    none = dict.fromkeys(("held out", "blurred"), False)  # of the Gaussian nothing is demanded
    assert use == Use(must={"empirical denoiser": True}, must_not=none) and use.of_use
    missed = scoreboard.use_of("memorization", checks | {"empirical denoiser": {"memorization": NO}}, 0.01)
    wrong = scoreboard.use_of("memorization", checks | {"held out": {"memorization": YES}}, 0.01)
    assert not missed.of_use and not wrong.of_use
    assert scoreboard.use_of("morphology", checks, 0.01) == Use({}, {})


def test_the_table_of_use_says_which_controls_were_found():
    uses = {
        "memorization": Use({"empirical denoiser": True}, {"held out": False}),
        "distribution": Use({"blurred": True, "Gaussian": False}, {"held out": False}),
        "morphology": Use({}, {}),
    }
    lines = scoreboard.use_table(uses, "Which?").data.splitlines()
    assert lines[0] == "Which?"
    assert lines[4] == "| memorization | empirical denoiser | empirical denoiser | held out | none | yes |"
    assert lines[5].startswith("| distribution | blurred, Gaussian | blurred | held out | none |")
    assert lines[5].endswith("| **does not separate its controls** |")
    assert lines[6] == "| morphology |  |  |  |  | too few valid images to ask |"


def test_what_is_kept_of_a_board_is_the_board_again():
    families = {("Glow", 10): {"agreement": YES}, ("Glow", 100): {"agreement": NO, "morphology": YES}}
    controls = {("held out", 100): {"agreement": NO}}
    kept = scoreboard.kept(families, "family") + scoreboard.kept(controls, "control")
    assert scoreboard.from_kept(kept, "family") == families
    assert scoreboard.from_kept(kept, "control") == controls


def boards(*agreement):
    scores = {("diffusion", n): {"agreement": found} for n, found in zip((10, 4000), agreement, strict=False)}
    return scores | {("GAN", 30): {"agreement": agreement[-1]}}


def test_where_a_question_finds_something():
    def where(*agreement):
        return scoreboard.where(boards(*agreement), lambda found: found["agreement"].p < 0.01)

    assert where(YES, YES, YES) == "every pair"
    assert where(YES, YES, NO) == "diffusion at N = 10, 4\xa0000"
    assert where(YES, NO, YES) == "diffusion at N = 10; GAN at N = 30"
    assert where(NO, NO, NO) == "none"


def test_the_conclusions_say_what_is_of_use_and_what_was_found():
    uses = {"agreement": Use({}, {"a": False}), "memorization": Use({"m": True}, {}), "x": Use({}, {})}
    said = scoreboard.take_away(boards(YES, NO, NO), uses, 0.01)
    assert said[0] == "**Of use:** memorization. **Not separated from their controls here:** agreement."
    assert "beyond chance: diffusion at N = 10; less alike than strangers: none." in said[1]
    assert said[2] == "**Memorization** found in none."
    said = scoreboard.take_away(boards(YES, NO, NO), {"memorization": uses["memorization"]}, 0.01)
    assert said[0] == "**Of use:** memorization. Each question finds what it must."


def test_images_less_alike_than_strangers_are_found_and_are_no_agreement():
    said = scoreboard.take_away(boards(YES, Outcome(-0.16, -0.06, 0.04, 0.002), NO), {}, 0.01)[1]
    assert "beyond chance: diffusion at N = 10; less alike than strangers: diffusion at N = 4\xa0000." in said


def test_two_runs_differ_where_one_is_beyond_its_null():
    one = {("Glow", 10): {"agreement": YES, "morphology": answer(0.5, 0.1)}, ("GAN", 5): {"agreement": YES}}
    other = {("Glow", 10): {"agreement": answer(0.2, 0.3), "morphology": answer(0.5, 0.4)}}
    text = scoreboard.differences({"real": one, "simulated": other}, 0.01)
    assert text == (
        "Of 2 answers that both runs have, 1 are on the same side of p = 0.01. They differ in: agreement of "
        "Glow at N = 10 (0.50, p 0.001 for real; 0.30, p 0.200 for simulated). The values differ by 0.20 at "
        "most in agreement, 0.30 at most in morphology."
    )
    assert "They differ" not in scoreboard.differences({"a": one, "b": one}, 0.01)
    older = {("Glow", 10): {"agreement": YES}}
    assert scoreboard.differences({"real": older, "x": one}, 0.01).startswith(
        "real was not asked: morphology."
    )


def test_every_question_has_a_unit():
    assert list(scoreboard.UNITS) == list(QUESTIONS)
