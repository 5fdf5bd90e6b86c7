"""The tables of settings in the book, and the words that its page on statistics explains."""

from pathlib import Path

import pytest

from galgen.config import PROFILES, Parameters
from workflow.book import settings

ROOT = Path(__file__).parents[1]


def rows(markdown):
    """The cells of each row, without the heads of tables."""
    lines = (line.strip("|").split("|") for line in markdown.splitlines() if "|" in line)
    cells = [[cell.strip() for cell in line] for line in lines]
    return [row for row in cells if row[0] not in ("setting", "---", "")]


def test_what_differs_from_the_paper_is_bold_and_nothing_else():
    table = rows(settings.beside_the_paper(Parameters()))
    assert ["loss", "paper", "**weighted**"] in table
    assert ["blocks", "3", "3"] in table
    assert ["penalty", "10", "**0.05**"] in table
    assert ["decay", "0.995", "0.995"] in table
    for name, paper, ours in table:
        assert (ours == paper) is not ours.startswith("**"), name


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_its_passes_over_the_training_set(profile):
    table = rows(settings.sizes())
    column = 1 + list(PROFILES).index(profile)
    found = next(row[column] for row in table if row[0] == "diffusion: passes over the set")
    of_profile = PROFILES[profile].diffusion
    wanted = [of_profile.images_shown(N) / N for N in of_profile.N]
    passes = [float(text.replace("\N{NO-BREAK SPACE}", "")) for text in found.split(", ")]
    assert passes == pytest.approx(wanted, rel=0.02)
