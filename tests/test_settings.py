"""The tables of settings in the book, and the words that its page on statistics explains."""

from pathlib import Path

import pytest

from galgen.config import PROFILES, Parameters
from galgen.models.families import FAMILIES, STUDIES
from workflow.book import settings

ROOT = Path(__file__).parents[1]


def rows(markdown):
    """The cells of each row, without the heads of tables."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if "|" in line
    ]
    return [row for row in cells if row[0] not in ("setting", "---", "")]


def test_what_differs_from_the_paper_is_bold_and_nothing_else():
    table = rows(settings.beside_the_paper(Parameters()))
    assert ["loss", "paper", "**weighted**"] in table
    assert ["blocks", "3", "3"] in table
    assert ["penalty", "10", "**0.05**"] in table
    assert ["decay", "0.995", "0.995"] in table
    for name, paper, ours in table:
        assert (ours == paper) is not ours.startswith("**"), name


def test_the_paper_beside_itself_has_no_difference_and_its_sizes_in_parameters():
    text = settings.beside_the_paper(Parameters(profile="paper")).replace("\N{NO-BREAK SPACE}", "")
    assert "| **" not in text
    for parameters in ("7659264", "44055504", "discriminator 11800804"):
        assert parameters in text


def test_the_sizes_of_a_run_stand_in_the_place_of_those_of_its_profile():
    table = rows(settings.beside_the_paper(Parameters(profile="smoke", N=12)))
    given = [row for row in table if row[0] == "N"]
    asked = [family for family in (FAMILIES | STUDIES).values() if family(PROFILES["smoke"]).settings.N]
    assert len(given) == len(asked) == 6 and all(ours == "**12**" for *_, ours in given)
    shown = next(row for row in table if row[0].startswith("images shown"))
    assert shown[2] == f"**{PROFILES['smoke'].diffusion.images_shown(12)}**"


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_its_passes_over_the_training_set(profile):
    table = rows(settings.sizes())
    column = 1 + list(PROFILES).index(profile)
    found = next(row[column] for row in table if row[0] == "diffusion: passes over the set")
    of_profile = PROFILES[profile].diffusion
    wanted = [of_profile.images_shown(N) / N for N in of_profile.N]
    passes = [float(text.replace("\N{NO-BREAK SPACE}", "")) for text in found.split(", ")]
    assert passes == pytest.approx(wanted, rel=0.02)


def test_every_verdict_is_explained():
    explained = (ROOT / "book" / "statistics.md").read_text().split("```{glossary}")[1].splitlines()
    for verdict in ("held", "not held", "not testable here"):
        assert verdict in explained
