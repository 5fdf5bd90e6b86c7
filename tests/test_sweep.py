import base64
import io
import json
import signal
import subprocess
import sys
import time

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from galgen.cli import main
from galgen.config import Parameters
from galgen.runs.errors import GalgenError
from galgen.runs.files import read_json, write_json
from galgen.runs.store import Store
from workflow.book import run_index, sweep

SMOKE = Parameters(profile="smoke")
STAMPS = [
    {"name": "unet-N8-A00", "key": "a" * 16, "seconds": 30},
    {"name": "unet-N8-B11", "key": "b" * 16, "seconds": 31},
]


def a_record(N=(8,), seed=0, error="", **parameters):
    parameters = {"profile": "smoke", "data": "simulated", "seed": seed} | parameters
    return run_index.record(parameters, N, [{"seconds": 59}], STAMPS, error)


def a_chapter(path, name, noise=False):
    size = (900, 600)
    pixels = (
        np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
        if noise
        else np.zeros((*size[::-1], 3), np.uint8)
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    output = new_output("display_data", {"image/png": base64.b64encode(buffer.getvalue()).decode()})
    cell = new_code_cell("", outputs=[output], metadata={"mystnb": {"figure": {"name": name}}})
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_code_cell("1"), cell]), path)
    return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose workflow is `calls.make(run)`: what it returns is the error."""
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "Snakefile").touch()
    monkeypatch.chdir(tmp_path)
    calls = []

    def make(root, run, cores, environment, *, again):
        assert root == tmp_path
        calls.append((run.N, again))
        error = project_errors.get(tuple(run.N), "")
        if isinstance(error, BaseException):
            raise error
        if not error:
            record = run_index.record(run.model_dump(), run.N, [], [])
            write_json(root / "build" / sweep.build_name(run) / "run.json", record)
        return error

    project_errors = {}
    monkeypatch.setattr(sweep, "_workflow", make)
    make.calls, make.errors, make.build = calls, project_errors, tmp_path / "build"
    return make


def test_each_N_is_made_in_growing_order_and_then_all_together(project, capsys):
    assert main(["sweep", "--profile", "smoke", "--N", "24", "8", "12"]) == 0
    assert project.calls == [([8], False), ([12], False), ([24], False), ([8, 12, 24], True)]
    out = capsys.readouterr().out
    assert "N = 12: done" in out and "smoke-simulated-N8-12-24/html/sweep.html" in out


def test_one_N_is_one_book(project):
    assert sweep.sweep([8], SMOKE) == 0
    assert project.calls == [([8], False)]


def test_a_run_that_fails_is_noted_and_the_others_are_made_and_bound_together(project, capsys):
    project.errors[12,] = "notebooks/02.ipynb, cell 3: ValueError: no"
    assert main(["sweep", "--profile", "smoke", "--N", "8", "12", "24"]) == 1
    assert [N for N, _ in project.calls] == [[8], [12], [24], [8, 24]]
    noted = read_json(project.build / "smoke-simulated-N12" / "run.json")
    assert (noted["status"], noted["error"]) == ("failed", project.errors[12,])
    assert "N = 12: failed: notebooks/02.ipynb" in capsys.readouterr().out
    project.errors.clear()
    project.calls.clear()
    assert main(["sweep", "--profile", "smoke", "--N", "8", "12", "24"]) == 0
    assert project.calls[1] == ([12], True), "a book is rendered again, or its record would stay"


def test_a_failed_run_counts_what_it_had_made(project):
    build = project.build / "smoke-simulated-N8"
    a_chapter(build / "chapters" / "01_data.ipynb", "fig-sheet")
    notebook = nbformat.read(build / "chapters" / "01_data.ipynb", as_version=4)
    notebook.metadata["galgen"] = {"seconds": 59}
    nbformat.write(notebook, build / "chapters" / "01_data.ipynb")
    (build / "chapters" / "unfinished-02.ipynb").write_text("half")
    for stamp in STAMPS:
        write_json(build / "trainings" / f"{stamp['name']}.json", stamp)
    project.errors[8,] = "no"
    assert sweep.sweep([8], SMOKE) == 1
    noted = read_json(build / "run.json")
    assert noted["minutes"] == 2.0 and set(noted["trainings"]) == {"unet-N8-A00", "unet-N8-B11"}


def test_where_nothing_was_done_there_is_no_book_of_all(project, capsys):
    project.errors.update({(8,): "no", (24,): "no"})
    assert sweep.sweep([8, 24], SMOKE) == 1
    assert [N for N, _ in project.calls] == [[8], [24]]
    assert "sweep.html" not in capsys.readouterr().out


def test_an_interrupt_ends_the_sweep_and_is_no_failure_of_the_run(project, capsys):
    project.errors[24,] = KeyboardInterrupt()
    assert main(["sweep", "--profile", "smoke", "--N", "8", "24"]) == 130
    assert "goes on where it stopped" in capsys.readouterr().err
    assert not (project.build / "smoke-simulated-N24" / "run.json").exists()
    assert read_json(project.build / "smoke-simulated-N8" / "run.json")["status"] == "done"


@pytest.mark.parametrize(
    "options, message",
    [
        (["--N", "8", "1"], "N must be above 1, not 1"),
        (["--N", "8", "24", "8"], "N = 8 is given twice"),
        (["--N", "8", "60"], "N can be at most 59"),
        (["--N", "8", "--profile", "smok"], "smoke, laptop, paper"),
        (["--N", "8", "--data", "nowhere.npz"], "nowhere.npz"),
        (["--N", "8", "--seed", "-1"], "seed"),
    ],
)
def test_bad_input_is_refused_before_any_work(project, capsys, options, message):
    assert main(["sweep", "--profile", "smoke", *options]) == 2
    assert message in capsys.readouterr().err
    assert project.calls == []


def test_more_than_the_data_hold_is_refused(tmp_path):
    images = np.random.default_rng(0).integers(256, size=(40, 16, 16), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=images)
    mine = Parameters(profile="smoke", data=str(tmp_path / "mine.npz"))
    store = Store(tmp_path / "store")
    assert sweep.checked([4, 2], mine, store) == [2, 4]
    with pytest.raises(GalgenError, match="N can be at most 4"):
        sweep.checked([2, 5], mine, store)


def test_it_is_run_in_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GalgenError, match="workflow/Snakefile"):
        sweep.sweep([8], SMOKE)


def test_the_call_is_that_of_make_book(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(sweep, "_error_of", lambda command, *rest: seen.append(command) or "")
    run = Parameters(profile="smoke", N=[8, 24], seed=3)
    sweep._workflow(tmp_path, run, 4, {}, again=False)
    sweep._workflow(tmp_path, run, 4, {}, again=True)
    text = " ".join(seen[0][1:])
    assert text == (
        "-m snakemake -s workflow/Snakefile --workflow-profile workflow/profiles/local --cores 4 "
        "--config profile=smoke data=simulated sizes=8 24 seed=3"
    )
    assert seen[1][-7:-5] == ["--forcerun", "book"]


@pytest.mark.parametrize(
    "said, error",
    [
        ("Error in rule a:\ngalgen: error: cell 3: no\nmore\ngalgen: error: later\nExiting", "cell 3: no"),
        (
            "bar\rTraceback (most recent):\n  x()\ntorch.OutOfMemoryError: of\n\nExit",
            "torch.OutOfMemoryError: of",
        ),
        ("a\nKilled\n", "Killed"),
        ("", "it ended without a word"),
    ],
)
def test_the_reason_of_a_failure_is_its_first_line(said, error):
    assert sweep._first_error(said) == error


def test_what_a_command_says_is_passed_on_and_its_exit_code_decides(tmp_path, capfd):
    code = "import sys; print('galgen: error: née', file=sys.stderr); sys.exit({})"
    run = [sys.executable, "-X", "utf8", "-c"]
    assert sweep._error_of([*run, code.format(1)], tmp_path, None) == "née"
    assert sweep._error_of([*run, code.format(0)], tmp_path, None) == ""
    assert capfd.readouterr().err.count("née") == 2


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
        f"import pathlib, signal, sys; {deaf} and signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from galgen.sweep import _error_of\n"
        f"_error_of([sys.executable, 'outer.py'], pathlib.Path({str(tmp_path)!r}), None)"
    )
    process = subprocess.Popen([sys.executable, "-c", call], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("*.began"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    process.communicate(timeout=30)  # returns when the last that holds its stdout has ended
    assert process.returncode == 128 + signal.SIGTERM


def test_a_record_names_the_models_with_one_key_and_adds_up_the_minutes():
    done = a_record()
    assert done == json.loads(json.dumps(done))
    assert (done["minutes"], done["status"], len(done["key"])) == (2.0, "done", 16)
    reordered = run_index.record(SMOKE.model_dump(), [8], [], STAMPS[::-1])
    other = run_index.record(SMOKE.model_dump(), [8], [], STAMPS[:1])
    assert reordered["key"] == done["key"] != other["key"]
    assert run_index.record(SMOKE.model_dump(), [8], [], [])["key"] == ""


@pytest.mark.parametrize("name", ["fig-gallery", "fig-glow-pairs"])
def test_the_picture_is_the_first_sheet_of_samples_and_small_whatever_it_shows(tmp_path, name):
    paths = [a_chapter(tmp_path / "1.ipynb", "fig-loss"), a_chapter(tmp_path / "2.ipynb", name, noise=True)]
    assert run_index.thumbnail(paths[:1]) is None
    jpeg = run_index.thumbnail(paths, width=900)
    assert 1000 < len(jpeg) < run_index.THUMBNAIL_BYTES
    width, height = Image.open(io.BytesIO(jpeg)).size
    assert width / height == pytest.approx(1.5, rel=0.02)


def test_the_page_lists_the_runs_of_the_same_profile_and_data_with_links_beside(tmp_path):
    runs = {
        "smoke-my data-N24": a_record([24], data="some/my data.npz"),
        "smoke-my data-N8": a_record([8], data="my data.npz", error="<cell> 3: `a | b` $x$"),
        "smoke-my data-N8-24-seed1": a_record([8, 24], data="my data.npz", seed=1),
        "laptop-my data": a_record([10], profile="laptop", data="my data.npz"),
        "smoke-simulated": a_record([7]),
    }
    for name, run in runs.items():
        write_json(tmp_path / name / "run.json", run)
        if run["status"] == "done":
            (tmp_path / name / "html").mkdir()
            (tmp_path / name / "html" / "index.html").touch()
    own = a_record([8, 24], data="my data.npz")
    build = tmp_path / "smoke-my data-N8-24"
    work = build / "book"
    (work / "_generated").mkdir(parents=True)
    chapter = a_chapter(build / "chapters" / "03.ipynb", "fig-pairs")
    run_index.add_page(work, build, own, [chapter])
    text = (work / "_generated" / "sweep.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("<tr id")]
    assert [row.split('"')[1] for row in rows] == [
        "smoke-my data-N8", "smoke-my data-N24", "smoke-my data-N8-24", "smoke-my data-N8-24-seed1",
    ]  # fmt: skip
    assert "failed: &lt;cell&gt; 3: `a | b` $x$" in rows[0] and "href" not in rows[0]
    assert '<a href="../../smoke-my%20data-N24/html/index.html">24</a>' in rows[1]
    assert '<a href="index.html">8, 24</a>' in rows[2], "this book, though its record is not yet written"
    assert 'src="runs/smoke-my%20data-N8-24.jpg" alt="Samples of the run' in rows[2]
    assert "<img" not in rows[1]
    assert (work / "_extra" / "runs" / "smoke-my data-N8-24.jpg").stat().st_size < run_index.THUMBNAIL_BYTES
    assert text.count("```") == 2 and "laptop" not in text
