"""Sweeps and runs: what is made of many N, what is noted of failures, and when a step is made again.

Snakemake makes the graph of the project itself; in the place of its jobs stands `FAKE`.
"""

import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from galbook.press import __main__ as steps
from galbook.press import pages, sweep
from galbook.press.runs import Run, asked
from galgen import cli
from galgen.compare.controls import rounded
from galgen.compare.morphology import stored
from galgen.experiment import Experiment
from galgen.profiles import Parameters
from galgen.runs.files import read_json, write_json
from galgen.runs.store import Store

ROOT = Path(__file__).parents[1]
SMOKE = Parameters(profile="smoke")
STAMPS = [
    {"name": "diffusion-N8-A0-0", "key": "a" * 16, "seconds": 30},
    {"name": "diffusion-N8-B1-1", "key": "b" * 16, "seconds": 31},
]
FAKE = """
import json, os, runpy, sys
from pathlib import Path

step, *given = sys.argv[1:]
if step == "sweep":
    sys.exit(runpy.run_module("galbook.press.real")["main"]())
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
print("x", end="", file=sys.stderr)
if os.environ.get("FAIL") == f"{step} {run.name}":
    options = dict(zip(given, given[1:]))
    parameters = {"profile": "smoke", "N": [int(options["--N"])]}
    (run / "failed.json").write_text(json.dumps({"parameters": parameters, "error": "no: it is a test"}))
    sys.exit(1)
files[0].parent.mkdir(parents=True, exist_ok=True)
files[0].write_text(json.dumps({"given": given}))
"""


def a_chapter(path, name):
    """With one figure, larger than any sheet of samples."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (600, 900, 3), np.uint8)).save(buffer, "PNG")
    output = new_output("display_data", {"image/png": base64.b64encode(buffer.getvalue()).decode()})
    cell = new_code_cell("", outputs=[output], metadata={"mystnb": {"figure": {"name": name}}})
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"galgen": {"seconds": 59}}
    nbformat.write(new_notebook(cells=[new_code_cell("1"), cell], metadata=metadata), path)
    return path


@pytest.mark.parametrize(
    "options, message",
    [
        (["--N", "8", "1"], "N must be a number above 1, or a growing list of such numbers, not [1, 8]"),
        (["--N", "8", "60"], "N can be at most 59"),
        (["--N", "8", "--data", "nowhere.npz"], "nowhere.npz"),
    ],
)
def test_bad_input_is_refused_before_any_work(monkeypatch, capsys, options, message):
    monkeypatch.setattr(sweep, "ended", lambda *call: pytest.fail("something was made"))
    monkeypatch.setattr(os, "execve", lambda program, command, environment: steps.main(command[3:]))
    for command in (steps.main, cli.main):
        command(["sweep", "--profile", "smoke", *options])
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_it_is_run_in_the_project_with_paths_from_where_one_is(tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(os, "execve", lambda *call: seen.append((Path.cwd(), *call)))
    below = tmp_path / "below"
    below.mkdir()
    (below / "my data.npz").touch()
    monkeypatch.chdir(below)
    options = ["sweep", "--profile", "smoke", "--N", "8", "24", "--data", "my data.npz", "--store", "here"]
    assert cli.main(options) == 2 and "workflow/Snakefile" in capsys.readouterr().err
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "Snakefile").touch()
    assert cli.main(options) == 0
    ((where, _, command, environment),) = seen
    assert where == tmp_path and f"--data={below / 'my data.npz'}" in command
    assert environment["GALGEN_STORE"] == str(below / "here")


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
    for name in ("book", "pdf", "linkcheck"):
        command = ["make", "--no-print-directory", "-o", str(ready), name]  # or it may name its folder
        command += [f"READY={ready}", f"BIN={tmp_path}", "CORES=3"]
        command += [f"{variable}={value}" for variable, value in given.items()]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert json.loads(said)[:7] == [*given.values(), "-m", "snakemake", name]
        assert json.loads(said)[-2:] == ["--cores", "3"]
    assert not {"b", "c", "d"} & {path.name for path in ROOT.iterdir()}


def test_many_samples_are_measured_by_jobs_whose_work_the_chapters_find(trained, monkeypatch):
    few, many = (Run(Parameters(profile=name)) for name in ("laptop", "paper"))
    of_pairs = {t.name for each in many.experiments[:4] for n in each.sizes for t in each.models.pair(n)}
    assert few.measured_apart() == [] and set(many.measured_apart()) == of_pairs
    monkeypatch.setenv("GALGEN_STORE", str(trained.root))
    assert steps.main(["measure", "glow-N12-B1-1", "--profile", "smoke", "--N", "12"]) == 0
    kept = set(trained.root.glob("morphology/*"))
    experiment = Experiment(Parameters(profile="smoke", N=12), trained, family="glow")
    samples = rounded(experiment.samples(experiment.models.pair(12)[1])[: experiment.images.compared])
    assert len(stored(trained, samples, progress=False)) == experiment.images.compared == 10
    assert kept and kept == set(trained.root.glob("morphology/*"))


@pytest.mark.parametrize("deaf", [False, True])
def test_asked_to_end_it_ends_what_it_started(tmp_path, deaf):
    """The command starts another, as the workflow does; in the background of a script both are deaf."""
    (tmp_path / "inner.py").write_text(
        "import pathlib, sys, time\npathlib.Path(sys.argv[1] + '.began').touch(); time.sleep(60)\n"
    )
    (tmp_path / "outer.py").write_text(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, 'inner.py', 'inner'])\n"
        "sys.argv[1:] = ['outer']\nexec(open('inner.py').read())\nchild.wait()\n"
    )
    call = (
        f"import os, signal, sys; {deaf} and signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        f"from galbook.press.sweep import ended; os.chdir({str(tmp_path)!r})\n"
        "ended([sys.executable, 'outer.py'])"
    )
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", call], cwd=ROOT, **streams)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("*.began"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    process.communicate(timeout=30)  # returns when the last that holds its stdout has ended
    assert process.returncode == 128 + signal.SIGTERM


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
def made(tmp_path_factory):
    """A project with two chapters, of which a sweep with N = 8, 12 and 24 was made, where 12 fails."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("galgen", "workflow", "book/galbook"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    main = folder / "book" / "galbook" / "press" / "__main__.py"
    main.rename(main.with_stem("real"))
    main.write_text(FAKE)
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "CITATION.cff", folder)
    toc = {"parts": [{"chapters": [{"file": "chapters/02_diffusion"}, {"file": "chapters/01_data"}]}]}
    (folder / "book" / "_toc.yml").write_text(json.dumps(toc))
    for name, code in (("02_diffusion", "from galgen.models.unet import UNet\nUNet"), ("01_data", "1")):
        cells = [new_markdown_cell("# x"), new_code_cell(code)]
        notebook = new_notebook(cells=cells, metadata={"families": ["diffusion"] * name.startswith("02")})
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    options = ["--profile", "smoke", "--N", "24", "8", "12", "--cores", "1"]
    fail = {"FAIL": "chapter smoke-simulated-N12"}
    result = called(folder, [sys.executable, "-m", "galbook.press", "sweep", *options], fail)
    (folder / "said.txt").write_text(result.stdout)
    assert result.returncode == 1, result.stderr
    return folder


def called(folder, command, variables):
    variables = {"GALGEN_STORE": str(folder / "store"), "PYTHONPATH": str(folder / "book")} | variables
    return subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True)


def snakemake(folder, *options, **variables):
    """Call Snakemake in a project as `make` does."""
    command = [sys.executable, "-m", "snakemake", "-s", "workflow/Snakefile", "--cores", "1", *options]
    command += ["--workflow-profile", "workflow/profiles/local"]
    return called(folder, command, {"PROFILE": "smoke"} | variables)


def test_a_sweep_makes_the_smallest_first_and_binds_the_others_together_where_one_fails(made):
    order = [line.split() for line in (made / "order.txt").read_text().splitlines()]
    names = {N: f"smoke-simulated-N{N}" for N in (8, 12, 24, "8-24")}
    books = {N: [k for k, (_, run) in enumerate(order) if run == name] for N, name in names.items()}
    assert max(books[8]) < min(books[12]) < max(books[12]) < min(books[24])
    assert max(books[24]) < min(books["8-24"]) and order[-1] == ["render", names["8-24"]]
    there = {N: (made / "build" / name / "results.json").is_file() for N, name in names.items()}
    assert there == {8: True, 12: False, 24: True, "8-24": True}
    said = (made / "said.txt").read_text()
    assert "N = 8: done" in said and "N = 12: failed: no: it is a test" in said
    assert f"{names['8-24']}/html/sweep.html" in said
    assert snakemake(made, "book", "--forcerun", "html", N="8").returncode == 0
    (last,) = (made / "order.txt").read_text().splitlines()[len(order) :]
    assert last == "render smoke-simulated-N8", "a book is bound again, and nothing else is made again"


def test_a_run_that_ends_without_a_word_has_failed_and_one_that_is_bound_has_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    silent, bound = Run(SMOKE, 8), Run(SMOKE, 12)
    write_json(bound.folder / "results.json", {})
    assert silent.failure() == "no step could say why" and bound.failure() == ""
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "store"))
    run = Store().run("diffusion", {}, lambda work: {})
    for name, key in (("there", run.key), ("gone", "0" * 16)):
        write_json(silent.folder / "trainings" / f"{name}.json", {"name": name, "key": key})
    silent.forget()
    assert not list(tmp_path.glob("build/*/failed.json"))
    assert [path.stem for path in (silent.folder / "trainings").iterdir()] == ["there"]


@pytest.fixture
def mount():
    """Mounts a file system on a folder for the length of a test, where that may be done."""
    mounted = []

    def mounts(folder, *options):
        folder.mkdir(exist_ok=True)
        command = ["mount", *options, folder]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no file system can be mounted here")
        mounted.append(folder)

    yield mounts
    for folder in mounted[::-1]:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_finished_book_where_nothing_can_be_written_is_finished(made, mount):
    mount(made / "build", "--bind", "-o", "ro", str(made / "build"))
    finished, other, named = (
        snakemake(made, "book", **given)
        for given in ({"N": "24"}, {"N": "9"}, {"N": "9", "PRECISION": "fp32"})
    )
    assert finished.returncode == 0 and "Nothing to be done" in finished.stderr
    assert other.returncode == 2 and "Read-only file system: 'build/smoke-simulated-N9'" in other.stderr
    assert (
        named.returncode == 1
        and "error: nothing can be written in build/smoke-simulated-N9-fp32" in named.stderr
    )
    for result in (finished, other, named):
        assert "Traceback" not in result.stderr and result.stderr.count("galgen: error: ") == (
            result != finished
        )


def test_a_full_disk_is_told_once_and_with_room_the_book_is_made(made, mount):
    mount(made / "build", "-t", "tmpfs", "-o", "size=400k", "tmpfs")
    (made / "build" / "filler").write_bytes(bytes(332 * 1024))
    full = snakemake(made, "book", N="10")
    assert full.returncode == 1 and not (made / "build" / "smoke-simulated-N10" / "results.json").exists()
    (told,) = (line for line in full.stderr.splitlines() if "galgen: error: " in line)
    assert "the disk is full: build/smoke-simulated-N10, and 0.1 MB are free. Make room" in told
    (made / "build" / "filler").unlink()
    assert snakemake(made, "book", N="10").returncode == 0


def test_no_shell_and_no_wildcard_reads_the_name_of_the_data(made):
    data = "a'\"$(touch hacked)`touch hacked`; touch hacked; {x} {run} #<b>\\.npz"
    np.savez(made / data, images=np.zeros((3, 16, 16), np.uint8))
    result = snakemake(made, "book", DATA=data, N="8")
    assert result.returncode == 0, result.stderr
    assert not (made / "hacked").exists()
    run = Run(Parameters(profile="smoke", data=str(made / data)), 8)
    for name in ("data.json", "chapters/01_data.ipynb", "trainings/diffusion-N8-A0-0.json", "results.json"):
        assert f"--data={data}" in json.loads((made / run.folder / name).read_text())["given"]


def test_what_is_empty_is_as_usual_and_a_name_of_digits_stays_a_name():
    assert asked({"profile": "smoke", "seed": "", "sizes": "", "data": None}) == SMOKE
    assert asked({"data": "2024_11", "sizes": 8}) == Parameters(data="2024_11", N=8)
    assert asked({"sizes": "8, 24", "seed": "3"}) == Parameters(N=[8, 24], seed=3)


@pytest.mark.parametrize(
    ("variables", "options", "told"),
    [
        ({"N": "1000000000"}, [], "2000000032 galaxies to simulate need"),
        ({}, ["--cores", "0"], "CORES must be 1 or more, not 0"),
    ],
)
def test_what_cannot_be_made_is_told_before_any_rule(made, variables, options, told):
    result = snakemake(made, "book", *options, **variables)
    (said,) = [line for line in result.stderr.splitlines() if "galgen: error: " in line]
    assert result.returncode == 2 and told in said
    assert "Building DAG" not in result.stderr and "Traceback" not in result.stderr
    assert not list(made.glob("build/*N1000000000*")), "what is refused leaves nothing"


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


def test_a_step_is_made_again_when_something_it_depends_on_has_changed_and_only_then(made):
    def to_do():
        result = snakemake(made, "-n", "--quiet", "host", N="8")
        assert result.returncode == 0, result.stdout + result.stderr
        outputs = re.findall(r"^ +output: build/smoke-simulated-N8/(.+)", result.stdout + result.stderr, re.M)
        return {output.removesuffix(".json") for output in outputs}

    def edit(name, old, new):
        path = made / "galgen" / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    edit("compare/agreement.py", "def ", "def not_there_before():\n    return 1\n\n\ndef ")
    edit("models/unet.py", '"""', '"""Another word. ')
    assert to_do() == set(), "what no chapter reaches, and a comment, void nothing"
    edit("models/unet.py", "bias=False", "bias=not True")
    again = to_do()
    assert again >= {"trainings/diffusion-N8-A0-0", "chapters/02_diffusion.ipynb", "results"}
    assert not {"data", "chapters/01_data.ipynb"} & again, "they do not reach what was edited"
    of_it = tuple(f"trainings/{name}" for name in ("diffusion", "conditional", "clock"))
    assert all(name.startswith(of_it) for name in again if name.startswith("trainings"))


def test_a_record_names_the_models_with_one_key_and_adds_up_the_minutes():
    done = pages.record(SMOKE, [8], [{"seconds": 59}], STAMPS)
    assert done == json.loads(json.dumps(done))
    assert (done["minutes"], done["status"], len(done["key"])) == (2.0, "done", 16)
    reordered = pages.record(SMOKE, [8], [], STAMPS[::-1])
    other = pages.record(SMOKE, [8], [], STAMPS[:1])
    assert reordered["key"] == done["key"] != other["key"]
    assert pages.record(SMOKE, [8], [], [])["key"] == ""


def test_the_page_lists_the_runs_of_the_same_profile_and_data_with_links_beside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = Parameters(profile="smoke", data="some/my data.npz")
    changes = ({"seed": 1}, {"profile": "laptop"}, {"data": "other/my data.npz"})
    runs = [Run(asked, 24), *(Run(asked.model_copy(update=change), 8, 24) for change in changes)]
    for run in runs:
        record = pages.record(run.parameters, run.sizes, [{"seconds": 59}], STAMPS)
        write_json(run.folder / "run.json", record)
        (run.folder / "html").mkdir()
        (run.folder / "html" / "index.html").touch()
    failed = Run(asked, 8)
    failed.note_failure("<cell> 3: `a | b` $x$")
    a_chapter(failed.folder / "chapters" / "01_data.ipynb", "fig-sheet")
    (failed.folder / "chapters" / "unfinished-02.ipynb").write_text("half")
    for stamp in STAMPS:
        write_json(failed.folder / "trainings" / f"{stamp['name']}.json", stamp)
    (failed.folder / "trainings" / ".tmp-x.json").touch()  # of a writer that was killed
    for k, text in enumerate(("", "{}", '{"profile": "smoke", "source": 1}')):  # of other code, or damaged
        (tmp_path / "build" / f"broken-{k}").mkdir()
        (tmp_path / "build" / f"broken-{k}" / "run.json").write_text(text)
    own = Run(asked, 8, 24)
    work = own.folder / "book"
    (work / "_generated").mkdir(parents=True)
    chapter = a_chapter(own.folder / "chapters" / "03.ipynb", "fig-pairs")
    pages.add_runs(work, own.folder, pages.record(own.parameters, own.sizes, [], STAMPS), [chapter])
    rows = (work / "_generated" / "sweep.md").read_text().split("<tr id=")[1:]
    assert [row.split('"')[1] for row in rows] == [run.name for run in (failed, runs[0], own, runs[1])]
    assert "failed: &lt;cell&gt; 3: `a | b` $x$" in rows[0] and "href" not in rows[0]
    assert "<td>2.0</td>" in rows[0], "a failed run counts what it had made"
    assert f'<a href="../../{runs[0].name}/html/index.html">24</a>' in rows[1] and "<img" not in rows[1]
    assert '<a href="index.html">8, 24</a>' in rows[2], "this book, though its record is not yet written"
    assert f'src="runs/{own.name}.jpg" alt="Samples of the run' in rows[2]
    assert (work / "_extra" / "runs" / f"{own.name}.jpg").stat().st_size < pages.THUMBNAIL_BYTES
