"""The workflow graph: jobs, their order, records of failures, and jobs repeated after a change.

Its Python functions are called directly. Snakemake runs one sweep with stand-in jobs (`STEP`); its remaining
jobs are then listed in this process.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from snakemake.cli import main
from test_code import edited

from galbook.build import graph
from galbook.build.runs import Run, parse_parameters
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError

ROOT = Path(__file__).parents[1]
SMOKE = Parameters(profile="smoke")
DATA = "a'\"$(touch hacked)`touch hacked`; touch hacked; {x} {run} #<b>\\.npz"
# A python in whose place it stands: a step of the workflow writes what it is to write, and is done.
STEP = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path

_, _, step, *given = sys.argv[1:]
sizes = "-".join(text for text in given[given.index("--N") + 1 :])
(run,) = Path("build").glob(f"*-N{{sizes}}")
with open("order.txt", "a") as order:
    print(step, run.name, file=order)
if os.environ["FAIL"] and step == "chapter" and run.name.endswith(os.environ["FAIL"]):
    sys.exit("no: it is a test")
out = {{"chapter": Path(given[1]), "render": run / "results.json"}}.get(step, run / f"{{step}}.given")
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(json.dumps({{"given": given}}))
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
        return {output.removesuffix(".json") for output in outputs if not output.startswith("measured")}

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
    assert "no: it is a test" in said
    assert "Traceback" not in said and re.search(r"\d+ of \d+ steps \(\d+%\) done", said)


def test_no_shell_and_no_wildcard_reads_the_name_of_the_data(made):
    folder, _ = made
    assert not (folder / "hacked").exists()
    (eight,) = names(folder, [8])
    for name in ("prepare.given", "chapters/01_data.ipynb", "train.given", "results.json"):
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
    made, to_do, monkeypatch
):
    edited(monkeypatch, "galgen.runs.files", "__all__ =", "not_there_before = 1\n__all__ =")
    assert to_do() == set(), "how results are kept voids nothing"
    edited(monkeypatch, "galgen.models.unet", "The bias-free, noise-blind U-Net;", "Other words;")
    assert to_do() == set(), "nor does a word"
    edited(monkeypatch, "galgen.models.unet", "bias=False", "bias=not True")
    again = to_do()
    assert again >= {"trainings/diffusion-N8-A0-0", "chapters/02_diffusion.ipynb", "results"}
    assert not {"data", "chapters/01_data.ipynb"} & again, "they do not import what was edited"
    of_it = tuple(f"trainings/{name}" for name in ("diffusion", "conditional", "onset"))
    assert all(name.startswith(of_it) for name in again if name.startswith("trainings"))


def test_a_book_is_bound_again_when_the_code_or_a_template_of_its_pages_changes(to_do, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        edited(patch, "galbook.build.pages", "moment[:16]", "moment[:17]")
        assert to_do() == {"results"}
    assert to_do() == set()
    shutil.copytree(ROOT / "book/galbook/build/templates", tmp_path / "templates")
    (tmp_path / "templates" / "provenance.md.j2").write_text("another")
    monkeypatch.setattr(graph.pages, "__file__", str(tmp_path / "pages.py"))
    assert to_do() == {"results"}


REFUSED = [
    ("sweep", {"N": ""}, 'a sweep needs sizes, as in make sweep N="10 100 1000"'),
    ("sweep", {"N": "1 8"}, "N must be above 1, or an ascending list of such numbers, not [1, 8]"),
    ("sweep", {"N": "8 60", "DATA": "simulated"}, "N can be at most 59"),
    ("sweep", {"N": "8 15"}, "two models with N = 15 and 32 validation images need 62 images, but"),
    ("sweep", {"N": "8", "DATA": "nowhere.npz"}, "nowhere.npz"),
    ("book", {"N": "1000000000", "DATA": ""}, "less than 10000000"),
    ("book", {"--cores": "0"}, "CORES must be 1 or more, not 0"),
]


@pytest.mark.parametrize(("target", "given", "told"), REFUSED)
def test_what_cannot_be_made_is_told_before_any_rule(made, snakemake, target, given, told):
    options = [text for name in given if name[0] == "-" for text in (name, given[name])]
    code, said = snakemake(target, *options, **{name: given[name] for name in given if name[0] != "-"})
    (line,) = [line for line in said.splitlines() if "galgen: error: " in line]
    assert code == 2 and told in line and "Traceback" not in said and "rule " not in said
    assert not list(made[0].glob("build/*N1000000000*")), "what is refused leaves nothing"


PLAN = {"diffusion-N8-A0-0": {"minutes": 4}, "diffusion-N8-A1-1": {"minutes": 600}}


@pytest.fixture
def small(project, tmp_path, monkeypatch):
    """Makes the graph of a project with these chapters and galaxies, and a plan."""
    shutil.copytree(project / "book", tmp_path / "book")
    shutil.copytree(project / "notebooks", tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(Run, "plan", PLAN)
    for name in graph.VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    return lambda sizes="8", **given: graph.Graph({"profile": "smoke", "sizes": sizes} | given, 1)


def test_a_rule_waits_for_what_its_job_reads(small):
    of = small()
    run = of.book.name
    diffusion, data = (SimpleNamespace(run=run, chapter=name) for name in ("02_diffusion", "01_data"))
    assert of.measured(data) == [] and of.measured(diffusion) == [f"build/{run}/measured/diffusion-8"]
    read = of.read(SimpleNamespace(run=run, family="gan", N="8"))
    assert read == [f"build/{run}/trainings/gan-N8-{model}" for model in ("A0-0", "B1-1")]
    short, long = (SimpleNamespace(run=run, training=name) for name in PLAN)
    assert [of.minutes(short), of.minutes(long)] == [46, 1440] and of.megabytes(short, 2) == 16000
    assert of.of(Run.options)(short) == of.book.options()


def test_a_run_is_made_by_one_process(small):
    first = small()
    first.hold()
    with pytest.raises(
        GalgenError, match=r"another process is building build/smoke-.*; wait for it or stop it"
    ):
        small().hold()


def test_what_is_trained_is_said_and_where_the_disk_is_too_small_refused(small, capsys, monkeypatch):
    monkeypatch.setattr(graph, "emulation", lambda precision: "it is slow here")
    monkeypatch.setattr(Run, "plan", Plan(minutes=60, disk_mb=1))
    of = small("8", data="simulated")
    of.announce()
    said = capsys.readouterr().err
    assert re.search(r"^To be trained: .*diffusion-N8-A0-0.* at most \d+ minutes\.$", said, re.M)
    assert said.count("galgen: it is slow here") == 1
    monkeypatch.setattr(Run, "plan", Plan(minutes=60, disk_mb=2**40))
    with pytest.raises(GalgenError, match="MB are free on its disk: use fewer N"):
        of.announce()


class Plan(dict):
    """What is said of any training."""

    def __missing__(self, name):
        return dict(self)


def test_a_mistake_ends_the_process_in_one_line(capsys):
    def refuses():
        raise GalgenError("no")

    assert graph.or_exit(int, "8") == 8
    with pytest.raises(SystemExit, match="2"):
        graph.or_exit(refuses)
    assert capsys.readouterr().err == "galgen: error: no\n"


def test_jobs_have_a_core_each_and_what_the_user_has_set(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("TQDM_MININTERVAL", "40")
    monkeypatch.delenv("MALLOC_TOP_PAD_", raising=False)
    found = graph.environment()
    assert found["OMP_NUM_THREADS"] == "1" and found["TQDM_MININTERVAL"] == "40" and found["MALLOC_TOP_PAD_"]


def test_what_is_empty_is_as_usual_and_a_name_of_digits_stays_a_name():
    assert parse_parameters({"profile": "smoke", "seed": "", "sizes": "", "data": None}) == SMOKE
    assert parse_parameters({"data": "2024_11", "sizes": 8}) == Parameters(data="2024_11", N=8)
    assert parse_parameters({"sizes": "8, 24", "seed": "3"}) == Parameters(N=[8, 24], seed=3)


def test_any_change_of_the_data_is_seen_also_far_below_and_behind_links(tmp_path):
    folder, behind = tmp_path / "images", tmp_path / "elsewhere.npy"
    (folder / "deep" / "deeper").mkdir(parents=True)
    files = [folder / "deep" / "deeper" / "a.npy", behind]
    (folder / "there.npy").write_bytes(b"1")

    def version():
        return Run(Parameters(profile="smoke", data=str(folder))).data_version()

    seen = [version()]
    for file in files:
        file.write_bytes(b"1234")
        if file == behind:
            (folder / "link.npy").symlink_to(behind)
        seen.append(version())
        before = file.stat()
        file.write_bytes(b"4321")  # as large, and as old as it was
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        seen.append(version())
        assert version() == seen[-1]
        file.unlink()
        seen.append(version())
    assert len(set(seen)) == len(seen) - 2  # with each file gone it is as it was


def test_a_chapter_says_the_sizes_of_its_families_and_of_a_study_alone_its_own():
    run = Run(Parameters(profile="smoke"))
    assert run.sizes_of(["diffusion", "onset8"]) == run.sizes_of() == [8, 24]
    assert run.sizes_of(["onset8"]) == [24] and run.sizes_of(["onset4"]) == []
