"""Tables of the book: settings of the paper and of this run, profiles, statistics, criteria.

    galgen.profiles.PROFILES, the networks of `galgen.models.families`  ->  two pages of the book
    statistics.yaml, claims.yaml                                        ->  two more

They are generated from the settings in use.
"""

import torch
from pydantic import BaseModel

from galbook.table import STATISTICS
from galbook.verdicts import CLAIMS, holds
from galgen.figures.tables import table
from galgen.figures.words import spaced
from galgen.models.families import FAMILIES, STUDIES
from galgen.profiles import PROFILES, Parameters, Profile, profile


def compared_with_paper(parameters: Parameters) -> str:
    """Settings of the profile `paper` and of this run, in Markdown; differences are bold.

    Args:
        parameters: Parameters of the run.
    """
    paper, ours = PROFILES["paper"], profile(parameters.profile)
    if parameters.N:
        given = {"N": parameters.N}
        parts = {k: v.model_copy(update=given) for k, v in _parts(ours).items() if v.N}
        ours = ours.model_copy(update=parts)
    sections = [("Data and samples", _plain(paper), _plain(ours))]
    for family in _families(ours):
        title = family.label[0].upper() + family.label[1:]
        sections.append((title, _of_family(family, paper), _of_family(family, ours)))
    return "\n\n".join(f"**{title}**\n\n{_compared(*columns)}" for title, *columns in sections) + "\n"


def sizes() -> str:
    """Sizes of the profiles, one column each, in Markdown."""
    columns = {}
    for name, settings_of in PROFILES.items():
        column = {"image side, pixels": settings_of.image_size, "simulated galaxies": settings_of.simulated}
        column |= {"held-out images": settings_of.validation, "latents": settings_of.samples}
        for family in _families(PROFILES["laptop"]):
            settings, label = family(settings_of).settings, family.label
            shown = {N: settings.images_shown(N) for N in settings.N}
            column[f"{label}: parameters"] = _parameters(family, settings_of)
            column[f"{label}: N"] = tuple(shown)
            column[f"{label}: images shown"] = tuple(dict.fromkeys(shown.values()))
            column[f"{label}: epochs"] = tuple(count / N for N, count in shown.items())
        columns[name] = {row: _text(value) for row, value in column.items()}
    rows = [[row, *(column[row] for column in columns.values())] for row in columns["paper"]]
    return table(["", *(f"`{name}`" for name in columns)], rows).data + "\n"


def statistics() -> str:
    """Definitions of all statistics, in Markdown."""
    rows = (
        [f"`{name}`", entry["definition"], entry["unit"], entry["interval"], f"`{entry['function']}`"]
        for name, entry in STATISTICS.items()
    )
    return table(["statistic", "definition", "unit", "interval", "function"], rows).data + "\n"


def criteria() -> str:
    """Quantities and criteria of all claims, in Markdown."""
    rows = []
    for claim in CLAIMS:
        about = [claim["claim"], ", ".join(claim["families"])], [claim["reason"]]
        for cell in claim["cells"]:
            rows.append([*about[0], cell["quantity"], holds(cell["region"]), *about[1]])
            about = ["", ""], [""]
    return table(["claim", "families", "quantity", "region", "reason"], rows).data + "\n"


def _families(profile: Profile) -> list[type]:
    """Families and studies of the models of a profile."""
    return [family for family in (FAMILIES | STUDIES).values() if family(profile).settings.N]


def _parts(profile: Profile) -> dict[str, BaseModel]:
    return {name: value for name, value in profile if isinstance(value, BaseModel)}


def _plain(profile: Profile) -> dict[str, object]:
    """Settings of a profile, without those of families."""
    left_out = {"name", "purpose", "claims_only", *_parts(profile)}
    return {name: value for name, value in profile if name not in left_out}


def _of_family(family: type, profile: Profile) -> dict[str, object]:
    settings = family(profile).settings
    shown = {"images shown at the largest N": settings.images_shown(max(settings.N))}
    # settings that the table expresses otherwise; out-of-domain models are in the plan
    left_out = {"design_N", "epochs", "images_cap", "lengths", "out_of_domain", "more_pairs"}
    rest = {name: value for name, value in settings if name not in left_out}
    pairs = [settings.pairs_at(N) for N in settings.N]
    rest["pairs"] = pairs[0] if len(set(pairs)) == 1 else tuple(pairs)
    return {"parameters": _parameters(family, profile)} | shown | rest


def _parameters(family: type, profile: Profile) -> str:
    """Number of parameters of each network, counted without allocating any."""
    with torch.device("meta"):
        networks = family(profile).networks()
    counts = {name: sum(p.numel() for p in net.parameters()) for name, net in networks.items()}
    named = [f"{name} {spaced(count)}" for name, count in counts.items()]
    return ", ".join(named) if len(named) > 1 else spaced(*counts.values())


def _compared(paper: dict[str, object], ours: dict[str, object]) -> str:
    rows = []
    for name, value in paper.items():
        theirs, here = _text(value), _text(ours[name])
        rows.append([name.replace("_", " "), theirs, here if here == theirs else f"**{here}**"])
    return table(["setting", "profile `paper`", "this run"], rows).data


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.3g}" if value < 100 else spaced(round(value))
    return spaced(value) if isinstance(value, int) else str(value)
