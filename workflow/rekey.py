"""Give finished entries of run stores the keys of today, where they have those of the release before.

    python workflow/rekey.py [FOLDER ...]       by default store/, results/published and results/models

Until that release the code in a key was the version of definitions; now it is that of source files
(`galgen.runs.code`). `rekey.json` has the old version of each recipe, such as `gan falling`, `samples gan` or
`galbook.walk.circle gan`, as the code of that release computed it. An entry whose key is that of its record,
with that version, gets the key that today's code looks for; so do the keys of models in what was drawn from
them or answered of them, the names of what was read, and `book.json`. Nothing is trained or measured. Entries
of other code stay as they are. The script may be killed, and run again, but nothing else may use the folders.
"""

import argparse
import functools
import hashlib
import json
import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from galgen.compare import morphology
from galgen.data import prepare
from galgen.data.acquire import importing
from galgen.data.simulate import source
from galgen.models.families import FAMILIES, STUDIES
from galgen.runs.code import version
from galgen.runs.errors import GalgenError
from galgen.runs.files import project, read_json, write_json
from galgen.runs.packed import pack, unpack
from galgen.runs.store import Store

OLD = read_json(Path(__file__).with_name("rekey.json"))
TRAININGS = FAMILIES | STUDIES
FIXED = {
    "morphology": (morphology.__name__,),
    "dataset galaxies": source.GALAXIES,
    "dataset leaves": source.LEAVES,
    "dataset path": importing.FILES,
    "dataset smaller": prepare.SMALLER,
}


@functools.cache
def today(recipe: str) -> str:
    """Return the version of a recipe's files; "" if there is no such recipe any more."""
    kind, *names = recipe.split()
    try:
        if recipe in FIXED:
            return version(FIXED[recipe])
        if kind == "samples":
            family = TRAININGS[names[0]]
            return version((*family.files, *family.draws))
        return version(TRAININGS[kind].files)
    except (GalgenError, ImportError, KeyError):
        return ""


def recipe(record: Mapping) -> str:
    """Return the recipe of an entry; of images that are given, which are of two, by its code."""
    kind, params, summary = record["kind"], record["params"], record["summary"]
    if kind == "samples":
        return f"samples {summary['name'].partition('-')[0]}"
    if kind == "dataset" and "population" not in params:
        both = ("dataset path", "dataset smaller")
        return next((each for each in both if record["code"] in (OLD[each], today(each))), "")
    if kind == "dataset":
        return f"dataset {'leaves' if params['population'] == 'leaves' else 'galaxies'}"
    return kind if kind == "morphology" else f"{kind} {params.get('schedule')}"


def key_of(record: Mapping, params: Mapping, code: str) -> str:
    """Return the key of a record's entry with these parameters and this code."""
    identity = {"kind": record["kind"], "params": params, "data": record["data"], "code": code}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def of_models(params: Mapping, keys: Mapping[str, str]) -> dict:
    """Return parameters with other keys of models.

    Raises:
        KeyError: If one is not known.
    """
    if "model" in params:
        return params | {"model": keys[params["model"]]}
    return dict(params)


class Keys:
    """The keys of entries, before and after.

    Args:
        records: The records of all entries; those that have today's keys tell which they had.
    """

    def __init__(self, records: list[dict]):
        self.new: dict[str, str] = {}
        self.left = {}  # why an entry keeps its key, by that key
        before: dict[str, str] = {}
        for record in sorted(records, key=lambda record: record["kind"] == "samples"):
            of, key, code = recipe(record), record["key"], record["code"]
            try:
                if any(sha256.startswith(key) for sha256 in record["sha256"].values()):
                    old = new = key  # of a published model, which its weights name
                elif code == today(of):
                    old, new = key_of(record, of_models(record["params"], before), OLD[of]), key
                elif code != OLD.get(of) or not today(of):
                    self.left[key] = "of other code"
                    continue
                elif key_of(record, record["params"], code) != key:
                    self.left[key] = "with a key that is not its own"
                    continue
                else:
                    old, new = key, key_of(record, of_models(record["params"], self.new), today(of))
            except KeyError:  # of a model that is not in the folders
                self.left[key] = "of models that are not there"
                continue
            self.new[old], before[new] = new, old

    def record(self, record: Mapping) -> dict | None:
        """Return the record as it is to be, or None if it is that, or stays as it is."""
        of = recipe(record)
        if record["key"] not in self.new or record["code"] != OLD.get(of) or not today(of):
            return None
        params = of_models(record["params"], self.new)
        found = {"code": today(of), "key": self.new[record["key"]], "params": params}
        return record | found | ({"read": list(map(self.name, record["read"]))} if "read" in record else {})

    def name(self, name: str) -> str:
        """Return the name of what was read, as `samples/KEY`."""
        kind, slash, key = name.partition("/")
        return kind + slash + self.new.get(key, key)


def entries(folder: Path) -> dict[Path, dict]:
    """Return the records of finished entries, by where they are."""
    found = {}
    for path in sorted(folder.glob("*/*")):
        known = path.parent.name not in ("answers", "rows")  # of questions that are gone; of later keys
        if known and re.fullmatch(r"[0-9a-f]{16}(\.zip|\.published)?", path.name):
            packed = path.suffix == ".zip"
            if packed or (path / "record.json").is_file():
                text = zipfile.ZipFile(path).read("record.json") if packed else None
                found[path] = json.loads(text) if packed else read_json(path / "record.json")
    return found


def move(path: Path, record: dict) -> bool:
    """Give an entry its new record and name; False if another has that name."""
    target = path.with_name(record["key"] + path.suffix)
    if path.suffix == ".zip":
        with tempfile.TemporaryDirectory() as work:
            unpack(path, Path(work))
            write_json(Path(work) / "record.json", record)
            there = {each.relative_to(work).as_posix() for each in Path(work).rglob("*") if each.is_file()}
            pack(Path(work), there - {"record.json"}, target)
        if target != path:
            path.unlink()
        return True
    if target != path and target.exists():
        return False
    path.rename(target)  # killed here, it has its new name and its old record, and is found again
    write_json(target / "record.json", record)
    return True


def rekey(folders: list[Path]) -> dict[str, Counter]:
    """Give the entries of folders their new keys; how many of each kind were given one, or left, and why."""
    found = {folder: entries(folder) for folder in folders}
    keys = Keys([record for of in found.values() for record in of.values()])
    done = {"given new keys": Counter(), "with today's": Counter()}
    for of in found.values():
        for path, record in of.items():
            new = keys.record(record)
            word = keys.left.get(record["key"], "with today's")
            if new:
                word = "given new keys" if move(path, new) else "made again with today's code"
            done.setdefault(word, Counter())[record["kind"]] += 1
    return done


def main() -> None:
    """Read the command line, and say what was done."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path)
    asked = parser.parse_args().folders
    results = project() / "results"
    for word, kinds in rekey(asked or [Store().root, results / "published", results / "models"]).items():
        each = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
        print(f"{kinds.total()} entries {word}{': ' * bool(each)}{each}")


if __name__ == "__main__":
    main()
