"""The graph of the workflow: what is made, in which order, what is noted of failures, what is made again.

Its Python is called as it is. Snakemake makes one sweep with `STEP` in the place of its jobs, and is asked
in this process what it would make after that.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from snakemake.cli import main
from test_code import edited

from galbook.press import __main__ as steps
from galbook.press import graph, pages, runs
from galbook.press.runs import Run, asked
from galgen.experiment import Experiment
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError
from galgen.runs.files import read_json, write_json
from galgen.runs.store import Store

ROOT = Path(__file__).parents[1]
SMOKE = Parameters(profile="smoke")
DATA = "a'\"$(touch hacked)`touch hacked`; touch hacked; {x} {run} #<b>\\.npz"
STAMPS = [
    {"name": "diffusion-N8-A0-0", "key": "a" * 16, "seconds": 30},
    {"name": "diffusion-N8-B1-1", "key": "b" * 16, "seconds": 31},
]
# A python in whose place it stands: a step of the workflow writes what it is to write, and is done.
STEP = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path

_, _, step, *given = sys.argv[1:]
if step == "measure":
    sys.exit()
files = [Path(text) for text in given if text.startswith("build/")]
if step == "render":
    page = files[0].parents[1] / "html" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.touch()
    files.insert(0, files[0].parents[1] / "results.json")
if step == "chapter":
    files.reverse()
    files = files[1:]
run = Path(*files[0].parts[:2])
with open("order.txt", "a") as order:
    print(step, run.name, file=order)
if os.environ["FAIL"] and step == "chapter" and run.name.endswith(os.environ["FAIL"]):
    (run / "failed.json").write_text(json.dumps({{"parameters": {{}}, "error": "no: it is a test"}}))
    sys.exit(1)
files[0].parent.mkdir(parents=True, exist_ok=True)
files[0].write_text(json.dumps({{"given": given}}))
"""


def test_make_hands_on_what_it_is_given_as_it_is(tmp_path):
    python, ready = tmp_path / "python", tmp_path / "ready"
    python.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "print(json.dumps([os.environ[name] for name in ('PROFILE', 'DATA', 'N', 'SEED')] + sys.argv[1:]))\n"
    )
    python.chmod(0o755)
    ready.touch()
    data = "a'\"$(touch b)`touch c`$(shell touch d); #{e}"
    given = {"PROFILE": "smoke", "DATA": data, "N": "8 24", "SEED": ""}
    for name in ("book", "sweep", "pdf", "linkcheck"):
        command = ["make", "--no-print-directory", "-o", str(ready), name]  # or it may name its folder
        command += [f"READY={ready}", f"BIN={tmp_path}", "CORES=3"]
        command += [f"{variable}={value}" for variable, value in given.items()]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert json.loads(said)[:7] == [*given.values(), "-m", "snakemake", name]
        assert json.loads(said)[-2:] == ["--cores", "3"]
    assert not {"b", "c", "d"} & {path.name for path in ROOT.iterdir()}


def test_a_step_that_fails_is_noted_in_the_folder_of_its_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--profile", "smoke", "--N", "8", "--data", "my <data>.npz"]
    assert steps.main(["train", "unet-N7", *options]) == 2
    (failed,) = tmp_path.glob("build/smoke-my-data-*-N8/failed.json")
    assert "no training 'unet-N7'" in read_json(failed)["error"]
    write_json(tmp_path / "stamp.json", {"dataset": {"images": 3, "sha256": "0"}})
    assert steps.main(["chapter", "a.ipynb", "b.ipynb", "stamp.json", *options]) == 2
    assert "no training 'unet-N7'" in read_json(failed)["error"], "the first failure is told"
    failed.unlink()
    assert steps.main(["chapter", "a.ipynb", "b.ipynb", "stamp.json", *options]) == 2
    assert read_json(failed)["error"].startswith("FileNotFoundError: ")

    def interrupted(self, *given):
        raise KeyboardInterrupt

    failed.unlink()
    monkeypatch.setattr(Experiment, "train", interrupted)
    monkeypatch.setattr(Experiment, "to_train", lambda self, trainings: [])
    assert steps.main(["train", "diffusion-N8-A0-0", *options]) == 130
    assert not failed.exists(), "an interrupt is no failure"
    assert "goes on where it stopped" in capsys.readouterr().err


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with two chapters, a page and results, and galaxies whose name a shell would read."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "workflow", folder / "workflow")
    shutil.copy(ROOT / "CITATION.cff", folder)
    for name in ("notebooks", "book/_static", "book/galbook", "results"):
        (folder / name).mkdir(parents=True)
    for name in ("book/page.md", "book/_static/book.css", "results/bench.json", "shown.py"):
        (folder / name).write_text("1")
    toc = {"parts": [{"chapters": [{"file": "chapters/02_diffusion"}, {"file": "chapters/01_data"}]}]}
    (folder / "book" / "_toc.yml").write_text(json.dumps(toc))
    for name, code in (("02_diffusion", "from galgen.models.unet import UNet\nUNet"), ("01_data", "1")):
        cells = [new_markdown_cell("# x\n\n```{literalinclude} ../shown.py\n```"), new_code_cell(code)]
        notebook = new_notebook(cells=cells, metadata={"families": ["diffusion"] * name.startswith("02")})
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    np.savez(folder / DATA, images=np.random.default_rng(0).integers(0, 256, (60, 16, 16), np.uint8))
    (folder / "python").write_text(STEP)
    (folder / "python").chmod(0o755)
    return folder


def variables(folder, **given):
    """The environment that `make` calls the workflow with."""
    return {"PROFILE": "smoke", "DATA": DATA, "FAIL": "", "GALGEN_STORE": str(folder / "store")} | given


def called(*options):
    command = ["-s", "workflow/Snakefile", "--cores", "1"]
    return [*command, "--workflow-profile", "workflow/profiles/local", *options]


@pytest.fixture(scope="module")
def made(project):
    """That project, of which a sweep with N = 8 and 12 was made, where 12 fails; and what was said."""
    instead = "import sys; sys.executable = sys.argv.pop(1); from snakemake.cli import main; main()"
    command = [sys.executable, "-c", instead, str(project / "python"), *called("sweep")]
    environment = os.environ | variables(project, N="8 12", FAIL="-N12")
    result = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    return project, result.stderr


@pytest.fixture
def snakemake(made, monkeypatch):
    """Calls Snakemake in that project, in this process, where it has nothing to make or only says what."""
    monkeypatch.chdir(made[0])

    def call(*options, **given):
        said = io.StringIO()
        with mock.patch.dict(os.environ, variables(made[0], **given)), redirect_stderr(said):
            with redirect_stdout(said), pytest.raises(SystemExit) as ended:
                main(called(*options))
        return ended.value.code, said.getvalue()

    return call


@pytest.fixture
def to_do(snakemake):
    """What would be made for N = 8."""

    def asks():
        code, said = snakemake("-n", "--quiet", "host", N="8")
        assert code == 0, said
        outputs = re.findall(r"^ +output: build/\S+-N8/(\S+)", said, re.M)
        return {output.removesuffix(".json") for output in outputs}

    return asks


def names(folder, *sizes):
    return [Run(Parameters(profile="smoke", data=str(folder / DATA)), *N).name for N in sizes]


def test_a_sweep_makes_the_smallest_first_and_goes_on_where_one_fails(made):
    folder, said = made
    order = [line.split() for line in (folder / "order.txt").read_text().splitlines()]
    eight, twelve, both = names(folder, [8], [12], [8, 12])
    of = {name: [k for k, (_, run) in enumerate(order) if run == name] for name in (eight, twelve, both)}
    assert max(of[eight]) < min(of[twelve]) < max(of[twelve]) < min(of[both])
    assert order[max(of[eight])] == ["render", eight] and ["chapter", both] in order
    there = [(folder / "build" / name / "results.json").is_file() for name in (eight, twelve, both)]
    assert there == [True, False, True]
    assert "N = 8: done\nN = 12: failed: no: it is a test\nN = 8, 12: done\n" in said
    assert "Traceback" not in said and re.search(r"\d+ of \d+ steps \(\d+%\) done", said)


def test_no_shell_and_no_wildcard_reads_the_name_of_the_data(made):
    folder, _ = made
    assert not (folder / "hacked").exists()
    (eight,) = names(folder, [8])
    for name in ("data.json", "chapters/01_data.ipynb", "trainings/diffusion-N8-A0-0.json", "results.json"):
        assert f"--data={DATA}" in json.loads((folder / "build" / eight / name).read_text())["given"]


def test_a_second_make_book_does_nothing_whatever_python_and_editors_have_left(made, snakemake, to_do):
    folder, _ = made
    before = (folder / "order.txt").read_text()
    for name in ("book/__pycache__/a.pyc", "book/galbook/b.py", "results/.x.json", "book/_static/.c~"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    code, said = snakemake("book", N="8")
    assert code == 0 and "Nothing to be done" in said and (folder / "order.txt").read_text() == before
    for name in ("book/page.md", "book/_static/book.css", "results/bench.json", "shown.py"):
        text = (folder / name).read_text()
        (folder / name).write_text("2")
        assert to_do() == {"results"}, f"{name} is bound again, and nothing else is made again"
        (folder / name).write_text(text)
    assert to_do() == set()


def test_a_step_is_made_again_when_something_it_depends_on_has_changed_and_only_then(
    made, to_do, monkeypatch, tmp_path
):
    edited(monkeypatch, "galgen.runs.packed", "__all__ =", "not_there_before = 1\n__all__ =")
    assert to_do() == set(), "how results are kept voids nothing"
    edited(monkeypatch, "galgen.models.unet", "The bias-free, noise-blind U-Net;", "Other words;")
    assert to_do() == set(), "nor does a word"
    edited(monkeypatch, "galgen.models.unet", "bias=False", "bias=not True")
    monkeypatch.setattr(runs, "galgen", SimpleNamespace(__file__=str(tmp_path / "a.py")))  # of another time
    again = to_do()
    assert again >= {"trainings/diffusion-N8-A0-0", "chapters/02_diffusion.ipynb", "results"}
    assert not {"data", "chapters/01_data.ipynb"} & again, "they do not import what was edited"
    of_it = tuple(f"trainings/{name}" for name in ("diffusion", "conditional", "clock"))
    assert all(name.startswith(of_it) for name in again if name.startswith("trainings"))


def test_a_book_is_bound_again_when_the_code_or_a_template_of_its_pages_changes(to_do, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        edited(patch, "galbook.press.pages", "moment[:16]", "moment[:17]")
        assert to_do() == {"results"}
    assert to_do() == set()
    shutil.copytree(ROOT / "book/galbook/press/templates", tmp_path / "templates")
    (tmp_path / "templates" / "provenance.md.j2").write_text("another")
    monkeypatch.setattr(graph.pages, "__file__", str(tmp_path / "pages.py"))
    assert to_do() == {"results"}


@pytest.mark.parametrize(
    ("target", "given", "told"),
    [
        ("sweep", {"N": ""}, 'a sweep needs sizes, as in make sweep N="10 100 1000"'),
        ("sweep", {"N": "1 8"}, "N must be a number above 1, or a growing list of such numbers, not [1, 8]"),
        ("sweep", {"N": "8 60", "DATA": "simulated"}, "N can be at most 59"),
        ("sweep", {"N": "8 15"}, "two models with N = 15 and 32 validation images need 62 images, but"),
        ("sweep", {"N": "8", "DATA": "nowhere.npz"}, "nowhere.npz"),
        ("book", {"N": "1000000000", "DATA": ""}, "2000000032 galaxies to simulate need"),
        ("book", {"--cores": "0"}, "CORES must be 1 or more, not 0"),
    ],
)
def test_what_cannot_be_made_is_told_before_any_rule(made, snakemake, target, given, told):
    options = [text for name in given if name[0] == "-" for text in (name, given[name])]
    code, said = snakemake(target, *options, **{name: given[name] for name in given if name[0] != "-"})
    (line,) = [line for line in said.splitlines() if "galgen: error: " in line]
    assert code == 2 and told in line and "Traceback" not in said and "rule " not in said
    assert not list(made[0].glob("build/*N1000000000*")), "what is refused leaves nothing"


@pytest.fixture
def mount():
    """Mounts a file system on a folder for the length of a test, where that may be done."""
    mounted = []

    def mounts(folder, *options):
        command = ["mount", *options, folder]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no file system can be mounted here")
        mounted.append(folder)

    yield mounts
    for folder in mounted[::-1]:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_finished_book_where_nothing_can_be_written_is_finished(made, snakemake, mount):
    mount(made[0] / "build", "--bind", "-o", "ro", str(made[0] / "build"))
    code, said = snakemake("book", N="8")
    assert code == 0 and "Nothing to be done" in said and "galgen: error" not in said
    for precision, told in (
        ("", "Read-only file system"),
        ("fp32", "nothing can be written in build/smoke-"),
    ):
        code, said = snakemake("book", N="9", PRECISION=precision)
        assert code == 2 and told in said and said.count("galgen: error: ") == 1 and "Traceback" not in said


PLAN = {
    "diffusion-N8-A0-0": {"minutes": 4, "memory_mb": 9000, "foreign": "", "chapters": ["02_diffusion"]},
    "diffusion-N8-A1-1": {"minutes": 600, "memory_mb": 90, "foreign": "leaves", "chapters": ["02_diffusion"]},
    "glow-N8-A0-0": {"minutes": 6, "memory_mb": 90, "foreign": "", "chapters": []},
}


@dataclass(eq=False)
class Job:
    """A job of Snakemake, as far as the graph looks at it."""

    name: str
    wildcards: SimpleNamespace | None

    @property
    def rule(self):
        return SimpleNamespace(name=self.name)


def jobs(run, *names):
    """Of a run the data and these trainings; and a job of none."""
    trainings = [Job("training", SimpleNamespace(run=run, training=name)) for name in names]
    return [Job("book", None), Job("data", SimpleNamespace(run=run)), *trainings]


@pytest.fixture
def small(project, tmp_path, monkeypatch):
    """Makes the graph of a project with these chapters and galaxies, and that plan."""
    shutil.copytree(project / "book", tmp_path / "book")
    shutil.copytree(project / "notebooks", tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(Run, "plan", PLAN)
    monkeypatch.setattr(Run, "check_room", lambda self: None)
    for name in graph.VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    return lambda sizes="8", **given: graph.Graph({"profile": "smoke", "sizes": sizes} | given, 1)


def test_a_rule_waits_for_what_its_job_reads(small, monkeypatch):
    of = small()
    (run,) = of.made
    chapter = {name: SimpleNamespace(run=run, chapter=name) for name in of.chapters}
    read = [f"build/{run}/trainings/{name}.json" for name in list(PLAN)[:2]]
    assert of.trainings(chapter["02_diffusion"]) == read == of.trainings(SimpleNamespace(run=run))
    assert of.trainings(chapter["01_data"]) == [] == of.measured(chapter["01_data"])
    assert of.measured(chapter["02_diffusion"]) == [f"build/{run}/measured/diffusion-8"]
    of_it = of.asked(SimpleNamespace(run=run, family="gan", N="8"))
    assert of_it == [f"build/{run}/trainings/gan-N8-{model}.json" for model in ("A0-0", "B1-1")]
    usual, foreign = (SimpleNamespace(run=run, training=name) for name in list(PLAN)[:2])
    assert of.others(usual) == [] and of.others(foreign) == [f"build/{run}/others.json"]
    assert [of.megabytes(usual, 2), of.megabytes(foreign, 1)] == [21600, 4000]
    assert [of.minutes(usual), of.minutes(foreign)] == [46, 1440]
    assert of.of(Run.options)(usual) == of.book.options()


def test_chapters_come_before_trainings_in_their_order_and_the_smallest_n_before_all(small):
    of = small("8 12")
    assert list(of.made) == [of.book.name], "the others are made by a sweep alone"
    bound = of.sweep()
    assert bound == of.sweep() == [f"build/{name}/results.json" for name in of.runs]
    assert all((run.folder / "precision.json").is_file() for run in of.runs.values())
    order = []
    for run in of.runs:
        asking = [{"chapter": "01_data"}, {}, *({"training": name} for name in PLAN)]
        order += [of.priority(SimpleNamespace(run=run, **more)) for more in asking]
    assert order == sorted(order, reverse=True) and len(set(order)) == len(order) - len(of.runs)


def test_a_run_is_made_by_one_process_and_where_it_has_room(small, monkeypatch):
    of = small()
    (name,) = of.made
    seen = []
    monkeypatch.setattr(Run, "check_room", lambda self: seen.append(self.name))
    of.hold(jobs(name, "glow-N8-A0-0"))
    assert seen == [], "who prepares the data sees to it"
    another = small()
    with pytest.raises(GalgenError, match=f"another process is making build/{name}; wait for it, or end it"):
        another.hold(jobs(name))
    another.forget()  # it is seen to by who makes it
    of.hold([Job("training", SimpleNamespace(run=name, training="glow-N8-A0-0"))])
    assert seen == [name]


def test_who_has_removed_the_pages_of_a_book_wants_them_again(small):
    of = small()
    bound, page = (Path(text.format(run=of.book.name)) for text in (graph.BOUND, graph.HTML))
    page.parent.mkdir()
    for path in (page, bound):
        path.touch()
    of.book.note_failure("no")
    of.forget()
    assert bound.is_file() and not (of.book.folder / "failed.json").exists()
    page.unlink()
    of.forget()
    assert not bound.exists()


def test_slow_bfloat16_is_told_before_a_training_alone(small, capsys, monkeypatch):
    monkeypatch.setattr(graph, "emulation", lambda precision: "it is slow here")
    of = small()
    for names, told in ((), 0), (("glow-N8-A0-0",), 1):
        of.hold(jobs(of.book.name, *names))
        assert capsys.readouterr().err.count("galgen: it is slow here") == told


def test_what_became_of_a_run_is_said_as_it_is(small, capsys):
    of = small("8 12 24")
    of.tell()
    assert capsys.readouterr().err == "", "of a book its pages say it"
    eight, twelve, *_ = of.runs.values()
    eight.note_failure("of another time")
    of.sweep()
    eight.note_failure("first")
    eight.note_failure("then")
    write_json(twelve.folder / "results.json", {})
    of.tell()
    told = ["N = 8: failed: first", "N = 12: done", "N = 24: not finished", "N = 8, 12, 24: not finished"]
    assert capsys.readouterr().err.splitlines() == told


def test_a_mistake_ends_the_process_in_one_line(capsys):
    def refuses():
        raise GalgenError("no")

    assert graph.or_exit(int, "8") == 8
    with pytest.raises(SystemExit, match="2"):
        graph.or_exit(refuses)
    assert capsys.readouterr().err == "galgen: error: no\n"


def test_jobs_have_a_core_each_and_what_the_user_has_set(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("TQDM_NCOLS", "40")
    monkeypatch.delenv("MALLOC_TOP_PAD_", raising=False)
    found = graph.environment()
    assert found["OMP_NUM_THREADS"] == "1" and found["TQDM_NCOLS"] == "40" and found["MALLOC_TOP_PAD_"]


def test_galaxies_that_are_there_need_no_room_to_be_simulated(small, fresh, monkeypatch):
    monkeypatch.setenv("GALGEN_STORE", str(fresh.root))
    monkeypatch.setattr("galgen.costs.available_memory_mb", lambda: 0)
    small()
    with pytest.raises(GalgenError, match="150 galaxies to simulate need"):
        small(seed="1")


def test_what_the_store_has_lost_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    silent = Run(SMOKE, 8)
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "store"))
    run = Store().run("diffusion", {}, lambda work: {})
    for name, key in (("there", run.key), ("gone", "0" * 16)):
        write_json(silent.folder / "trainings" / f"{name}.json", {"name": name, "key": key})
    silent.note_failure("no")
    silent.forget()
    assert not list(tmp_path.glob("build/*/failed.json"))
    assert [path.stem for path in (silent.folder / "trainings").iterdir()] == ["there"]


def test_what_is_empty_is_as_usual_and_a_name_of_digits_stays_a_name():
    assert asked({"profile": "smoke", "seed": "", "sizes": "", "data": None}) == SMOKE
    assert asked({"data": "2024_11", "sizes": 8}) == Parameters(data="2024_11", N=8)
    assert asked({"sizes": "8, 24", "seed": "3"}) == Parameters(N=[8, 24], seed=3)


def test_any_change_of_the_data_is_seen_also_far_below_and_behind_links(tmp_path):
    folder, behind = tmp_path / "images", tmp_path / "elsewhere"
    (folder / "deep" / "deeper").mkdir(parents=True)
    behind.mkdir()
    (folder / "link").symlink_to(behind)
    files = [folder / "deep" / "deeper" / "a.npy", behind / "b.npy"]
    (folder / "there.npy").write_bytes(b"1")

    def version():
        return Run(Parameters(profile="smoke", data=str(folder))).data_version()

    seen = [version()]
    for file in files:
        file.write_bytes(b"1234")
        seen.append(version())
        before = file.stat()
        file.write_bytes(b"4321")  # as large, and as old as it was
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        seen.append(version())
        assert version() == seen[-1]
        file.rename(file.with_suffix(".x.npy"))
        seen.append(version())
        file.with_suffix(".x.npy").unlink()
        seen.append(version())
    assert len(set(seen)) == len(seen) - 2  # with each file gone it is as it was


def test_a_record_names_the_models_with_one_key_and_adds_up_the_minutes():
    done = pages.record(SMOKE, [8], [{"seconds": 59}], STAMPS)
    assert done == json.loads(json.dumps(done))
    assert (done["minutes"], len(done["key"])) == (2.0, 16)
    reordered = pages.record(SMOKE, [8], [], STAMPS[::-1])
    other = pages.record(SMOKE, [8], [], STAMPS[:1])
    assert reordered["key"] == done["key"] != other["key"]
    assert pages.record(SMOKE, [8], [], [])["key"] == ""


def test_a_chapter_says_the_sizes_of_its_families_and_of_a_study_alone_its_own():
    run = Run(Parameters(profile="smoke"))
    assert run.sizes_of(["diffusion", "clock8"]) == run.sizes_of() == [8, 24]
    assert run.sizes_of(["clock8"]) == [24] and run.sizes_of(["clock4"]) == []
