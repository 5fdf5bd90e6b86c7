"""Write `workflow/rekey.json`: for each kind of entry, the versions of today's code, and the recipe of each.

For `workflow/rekey.py`, once files and no longer definitions are in the keys. Run before that.
"""

import importlib
import inspect
import itertools
import json
from pathlib import Path

from galbook.kept import once
from galgen.compare.morphology import measure
from galgen.data.acquire.importing import import_images
from galgen.data.preprocess import resize_area, to_uint8
from galgen.data.simulate.images import simulate
from galgen.data.simulate.leaves import dead_leaves
from galgen.models.families import FAMILIES, STUDIES
from galgen.runs import schedules
from galgen.runs.code_version import code_version
from galgen.runs.training import Stream

found = {"dataset": {}, "samples": {}, "morphology": {}, "answers": {}}
sources = {"galaxies": [simulate], "leaves": [dead_leaves], "path": [import_images]}
for name, code in (sources | {"smaller": [to_uint8, resize_area]}).items():
    found["dataset"][code_version(*code)] = name
found["morphology"][code_version(measure)] = "morphology"
for name, family in (FAMILIES | STUDIES).items():
    found["samples"].setdefault(code_version(family.draw), name)
    versions = {code_version(family.networks, family.learner, Stream, s) for s in schedules.SCHEDULES.values()}
    found[name] = dict.fromkeys(sorted(versions), name)
for path in sorted(Path("book/galbook").rglob("*.py")):
    if "\n@once\n" in path.read_text():
        module = importlib.import_module(".".join(path.with_suffix("").parts[1:]))
        for name, asked in inspect.getmembers(module, inspect.isfunction):
            if asked.__module__ != module.__name__ or not hasattr(asked, "__wrapped__"):
                continue
            if asked.__code__ is not once(name.upper).__code__:  # another decorator's
                continue
            of = next(iter(inspect.signature(asked).parameters.values())).annotation
            every = 1 if getattr(of, "__name__", "") == "Experiment" else len(FAMILIES)
            for names in (FAMILIES, STUDIES):
                for count in range(1, every + 1):
                    for some in itertools.combinations(names, count):
                        code = code_version(asked, *((FAMILIES | STUDIES)[family] for family in some))
                        found["answers"][code] = f"{module.__name__} {' '.join(some)}"
Path("workflow/rekey.json").write_text(json.dumps(found, indent=1) + "\n")
print({kind: len(of) for kind, of in found.items()})
