"""Entries that travel with the project: found by key or not at all, never written, refused by name."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from galgen.data.prepare import prepare
from galgen.experiment import Experiment, every_family
from galgen.models import precision
from galgen.profiles import Parameters
from galgen.runs import packed
from galgen.runs import store as store_module
from galgen.runs.checkpoint import read_losses
from galgen.runs.errors import GalgenError
from galgen.runs.files import write_json
from galgen.runs.store import Store

PARAMETERS = Parameters(profile="smoke", N=12)
FAMILY = "gan"  # the quickest to train
WITHOUT_AVX512 = {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"}
CALLS = []


def brightest(experiment, count):
    """The means of the brightest held-out images, and how often this was asked."""

    def make(work):
        CALLS.append(count)
        found = sorted(experiment.images.held_out.mean((1, 2, 3)).tolist())[-count:]
        (work / "answer.json").write_text(json.dumps(found))
        return {}

    given = {"given": [count]}
    run = experiment.store.run("answers", given, make, data=experiment.images.dataset.sha256)
    return json.loads((run.path / "answer.json").read_text())


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def entry(folder, kind):
    (found,) = (folder / kind).glob("*.zip")
    return found


@pytest.fixture(scope="module")
def there(trained, tmp_path_factory):
    """The packed entries of one model, its data and samples, and an answer; and what they are of."""
    store, before = Store(tmp_path_factory.mktemp("own")), Experiment(PARAMETERS, trained, family=FAMILY)
    model = before.models.pair(12)[0]
    for name in (f"dataset/{before.images.dataset.directory.parent.name}", f"{FAMILY}/{before.key(model)}"):
        shutil.copytree(trained.root / name, store.root / name)
    experiment = Experiment(PARAMETERS, store, family=FAMILY)
    experiment.samples(model)
    brightest(experiment, 3)
    folder, wanted = tmp_path_factory.mktemp("published"), store.runs()
    for run in wanted:
        packed.pack(run.folder, run.record["sha256"], folder / run.record["kind"] / f"{run.key}.zip")
    assert len(wanted) == 4
    return folder, experiment, model


@pytest.fixture
def here(there, tmp_path, monkeypatch):
    """The same, with an empty store beside a copy of these entries."""
    monkeypatch.setattr(store_module, "_REFUSED", set())
    shutil.copytree(there[0], tmp_path / "published")
    CALLS.clear()
    return Experiment(PARAMETERS, Store(tmp_path / "store", tmp_path / "published"), family=FAMILY)


def test_what_is_published_is_found_and_nothing_is_trained_or_written_there(there, here, monkeypatch, capfd):
    _, original, model = there
    before = contents(here.store.packed)
    monkeypatch.setattr(Experiment, "_train_apart", lambda *given: pytest.fail("it is trained"))
    run = here.ensure([model])[model]
    assert run.summary == original.train(model).summary and here.key(model) == original.key(model)
    assert read_losses(run.folder) == read_losses(original.train(model).path)
    assert here.samples(model).equal(original.samples(model))
    assert brightest(here, 3) == brightest(original, 3) and CALLS == []
    assert here.images.dataset.sha256 == original.images.dataset.sha256
    assert not here.trained(model), "its weights are not there"
    assert here.to_train(here.models.pair(12)) and not here.to_train([model])
    assert contents(here.store.packed) == before and "galgen:" not in capfd.readouterr().err


def test_networks_that_are_asked_for_are_trained_and_this_is_said_first(there, here, capsys):
    _, original, model = there
    net = here.networks(model)["average"].state_dict()
    assert all(t.equal(net[name]) for name, t in original.networks(model)["average"].state_dict().items())
    said = capsys.readouterr().err
    assert f"{FAMILY} {here.key(model)} is published without its weights" in said.splitlines()[0]
    weights = {name for name in original.train(model).record["sha256"] if name.startswith("weights")}
    new, old = here.train(model).record["sha256"], original.train(model).record["sha256"]
    assert weights and {new[name] for name in weights} == {old[name] for name in weights}, "bit for bit"
    assert here.trained(model) and here.train(model).path.parent.parent == here.store.root
    assert not list((here.store.packed / FAMILY).glob("*[!p]")), "nothing is added to what is published"


def without(name, text=None):
    """Packs an entry again without an artefact, or with another text in its place."""

    def tamper(file):
        with zipfile.ZipFile(file) as old:
            held = {each: old.read(each) for each in old.namelist()}
        held.pop(name)
        with zipfile.ZipFile(file, "w") as new:
            for each, data in held.items() | ({(name, text)} if text else set()):
                new.writestr(each, data)

    return tamper


def flipped(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def truncated(file):
    file.write_bytes(file.read_bytes()[:-40])


def another_version(file):
    with zipfile.ZipFile(file) as old:
        record = json.loads(old.read("record.json"))
    without("record.json", json.dumps(record | {"code": "0" * 16}))(file)


def another_question(file):
    with zipfile.ZipFile(file) as old:
        record = json.loads(old.read("record.json"))
    without("record.json", json.dumps(record | {"params": record["params"] | {"given": [4]}}))(file)


TAMPERED = {
    "a flipped byte": flipped,
    "a truncated file": truncated,
    "nothing in it": lambda file: file.write_bytes(b""),
    "no record": without("record.json"),
    "no answer": without("answer.json"),
    "another answer": without("answer.json", "[1.0, 2.0, 3.0]\n"),
    "another version": another_version,
    "another question": another_question,
    "an entry of another name": lambda file: shutil.copy(entry(file.parents[1], "samples"), file),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_what_is_not_what_it_says_is_refused_by_name_and_computed(there, here, how, capsys):
    file = entry(here.store.packed, "answers")
    TAMPERED[how](file)
    before = contents(here.store.packed)
    assert brightest(here, 3) == brightest(there[1], 3) and CALLS == [3]
    said = capsys.readouterr().err
    assert said.count("is refused, and made here") == 1 and str(file) in said and "Traceback" not in said
    assert brightest(here, 3) and CALLS == [3], "it is kept"
    assert contents(here.store.packed) == before


def test_a_missing_entry_is_computed(there, here):
    entry(here.store.packed, "answers").unlink()
    assert brightest(here, 3) == brightest(there[1], 3) and CALLS == [3]


def test_a_training_that_lacks_its_losses_is_refused(there, here, capsys):
    _, _, model = there
    without("losses.jsonl")(entry(here.store.packed, FAMILY))
    assert here.to_train([model]) and "losses.jsonl is missing" in capsys.readouterr().err


def test_what_was_unpacked_is_held_against_its_record_by_the_next_process(there, here, monkeypatch):
    assert brightest(here, 3)
    (answer,) = here.store.root.glob("answers/*.published/answer.json")
    answer.write_text("[0.0, 0.0, 0.0]\n")
    monkeypatch.setattr(store_module, "_SOUND", set())  # as in another
    assert brightest(here, 3) == brightest(there[1], 3) and CALLS == []


def test_recompute_asks_nothing_that_is_published(monkeypatch, tmp_path):
    for asked, found in (("", True), ("0", True), ("1", False)):
        monkeypatch.setenv("RECOMPUTE", asked)
        assert (Store(tmp_path).packed is not None) is found
    monkeypatch.setenv("RECOMPUTE", "1")
    assert Store(tmp_path, tmp_path).packed == tmp_path, "unless it is named"


def test_auto_is_the_precision_of_the_published_run_of_that_profile_data_and_seed(tmp_path, monkeypatch):
    told = {"parameters": Parameters().model_dump(mode="json"), "precision": "bf16", "commit": "0"}
    told |= {"machine": "m", "date": "2026-11-30", "begun": {}}
    write_json(tmp_path / "book.json", told)
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: False)
    assert precision.resolved(Parameters(), tmp_path) == "bf16"
    assert Experiment(Parameters(), Store(tmp_path / "s", tmp_path)).precision == "bf16"
    for same in ({"N": 500}, {"N": [10, 500]}, {"clock": True}):
        assert precision.resolved(Parameters(**same), tmp_path) == "bf16"
    others = ({"seed": 1}, {"N": 500, "seed": 1}, {"profile": "night"}, {"data": "dead-leaves"})
    others += ({"precision": "fp32"},)
    for other in others:
        assert precision.resolved(Parameters(**other), tmp_path) == "fp32"
    write_json(tmp_path / "book.json", {"parameters": 3})
    with pytest.raises(GalgenError, match=r"book\.json.*take it from the repository again"):
        precision.resolved(Parameters(), tmp_path)


ASKS = """
import sys
from galgen.data.prepare import prepare
from galgen.runs.store import Store
store = Store(sys.argv[1], sys.argv[2])
print(prepare(store, "simulated", size=32, crop=64, count=119).sha256)
"""


def test_a_processor_without_avx512_has_the_published_galaxies_and_would_draw_others(tmp_path):
    """Galaxy 118 is the first of seed 0 with a pixel of another gray level there."""
    if "X86_V4" not in np.show_config(mode="dicts")["SIMD Extensions"].get("found", ()):
        pytest.skip("this processor has no AVX512, or this numpy no kernels for it")
    here = prepare(Store(tmp_path / "here"), "simulated", size=32, crop=64, count=119)
    (run,) = Store(tmp_path / "here").runs("dataset")
    packed.pack(run.folder, run.record["sha256"], tmp_path / "published" / "dataset" / f"{run.key}.zip")

    def sha256(store, beside):
        command = [sys.executable, "-c", ASKS, tmp_path / store, tmp_path / beside]
        environment = os.environ | WITHOUT_AVX512
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    assert sha256("there", "published").strip() == here.sha256
    assert sha256("alone", "nothing").strip() != here.sha256, "or this test could not fail"


UNPACKS = """
import sys
from galgen.experiment import Experiment
from galgen.profiles import Parameters
from galgen.runs.store import Store
experiment = Experiment(Parameters(profile="smoke", N=12), Store(sys.argv[1], sys.argv[2]), family="gan")
print("begins", flush=True)
print(experiment.images.dataset.sha256, experiment.train(experiment.models.pair(12)[0]).key)
"""


def test_two_processes_that_unpack_at_once_and_one_that_is_killed_leave_what_is_whole(there, tmp_path):
    folder, experiment, model = there
    command = [sys.executable, "-c", UNPACKS, tmp_path / "store", folder]
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
            killed.stdout.readline()
            killed.kill()
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = {process.communicate()[0].split("\n")[1] for process in both}
    assert told == {f"{experiment.images.dataset.sha256} {experiment.key(model)}"}


def test_an_entry_is_packed_alike_twice_and_holds_no_weights(there, tmp_path):
    folder, experiment, model = there
    run = experiment.train(model)
    packed.pack(run.folder, run.record["sha256"], tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == entry(folder, FAMILY).read_bytes()
    with zipfile.ZipFile(tmp_path / "again.zip") as file:
        assert sorted(file.namelist()) == ["losses.jsonl", "record.json"]


def test_every_family_finds_its_data_by_a_key_that_holds_no_pixels(there, tmp_path):
    for experiment in every_family(PARAMETERS, Store(tmp_path / "store", there[0])).values():
        assert experiment.images.dataset.sha256 == there[1].images.dataset.sha256
    assert not Store(tmp_path / "store").finished(), "none was simulated"
