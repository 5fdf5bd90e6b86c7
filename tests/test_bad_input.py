"""Bad, corrupted and malicious input: any file, command line and name, and arguments of wrong values.

Hypothesis generates files and command lines, the same in each run. GALGEN_EXAMPLES=1000 tries more, random
ones.
"""

import contextlib
import io
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_inversion import Linear, invert, latents

from galbook.build.pages import rendered
from galgen import cli
from galgen.compare.agreement import agreement_test
from galgen.compare.biases import photometry
from galgen.compare.memorization import exchange_test
from galgen.compare.morphology import measure
from galgen.compare.similarity import cosine, nearest
from galgen.compare.twosample import c2st, features
from galgen.compare.uncertainty import bootstrap
from galgen.data.acquire.importing import import_images, write_imported
from galgen.data.dataset import Dataset
from galgen.data.preprocess import flux_to_gray
from galgen.data.unit import mean_image
from galgen.models.glow import Glow
from galgen.models.sampling import dpm_solver_2m, noise_schedule, stochastic_ascent
from galgen.models.unet import UNet
from galgen.profiles import Parameters
from galgen.published import publish
from galgen.runs import store as store_module
from galgen.runs.batches import BatchSampler
from galgen.runs.errors import GalgenError
from galgen.runs.schedules import cosine as schedule
from galgen.runs.training import train

EXAMPLES = int(os.environ.get("GALGEN_EXAMPLES", "0"))
SECONDS, MEGABYTES = 200, 1024
STATUS, PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def examples(count):
    # Its own deadline would blame the first example for imports.
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    how = {"database": None, "deadline": None, "suppress_health_check": checks}
    return settings(max_examples=EXAMPLES or count, derandomize=not EXAMPLES, **how)


class Hangs(BaseException):
    """Of a block that does not end: no error that anything handles."""


@contextlib.contextmanager
def in_bounds(seconds=SECONDS):
    """Ends a block that hangs; and fails if it takes, where the system tells, too much memory."""

    def resident(name):
        return int(re.search(rf"{name}:\s+(\d+) kB", STATUS.read_text())[1]) / 1024

    def hangs(*signalled):
        raise Hangs

    signal.signal(signal.SIGALRM, hangs)
    signal.alarm(seconds)
    if PEAK.exists():
        PEAK.write_text("5")  # forgets the peak of the process
        before = resident("VmRSS")
    try:
        yield
    finally:
        signal.alarm(0)
    if PEAK.exists():
        assert resident("VmHWM") - before < MEGABYTES


SHAPES = [(3, 16, 16), (2, 3, 16, 16), (3, 16, 16, 3), (16, 16), (3,), (0, 16, 16)]
KINDS = [np.uint8, np.float32, np.float64, np.int16, ">f4", bool, "S3"]


@st.composite
def arrays(draw):
    """Small arrays of any kind, and images as they should be."""
    found = np.random.default_rng(0).normal(
        draw(st.sampled_from([0.5, 0, 128])), 0.2, draw(st.sampled_from(SHAPES))
    )
    found.flat[: draw(st.integers(0, 2))] = draw(st.sampled_from([0.0, np.nan, np.inf, -1e300, 255]))
    with np.errstate(all="ignore"):
        return found.astype(draw(st.sampled_from(KINDS)))


def packed(name, array):
    """The bytes of a file of that name that holds an array, or a picture if it can be none."""
    content = io.BytesIO()
    if name.endswith(".npz"):
        np.savez(content, x=array, ids=["g", "r", "y" * 9999], bands=["g", "r", "z"])
    elif name.endswith(".h5"):
        with h5py.File(content, "w") as file:
            file["x"], file["link"] = array, h5py.ExternalLink("a", "/")
    elif name.endswith(".fits"):
        fits.PrimaryHDU(np.zeros((16, 16), np.float32)).writeto(content)
    elif name.endswith(".png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)).save(content, "PNG")
    else:
        np.save(content, array)
    return content.getvalue()


@st.composite
def mutated(draw, content):
    """Some bytes of a file replaced, taken out, put in; or the rest cut off. It is not what it was."""
    content = bytearray(before := draw(content))
    for _ in range(draw(st.integers(1, 4))):
        # Most at the beginning, where the headers are.
        place = draw(st.integers(0, 200) | st.integers(0, max(len(content), 1)))
        kind = draw(st.sampled_from(["replace", "insert", "cut", "delete"]))
        new = draw(st.binary(min_size=1, max_size=9))
        end = {"cut": len(content), "insert": place}.get(kind, place + len(new))
        content[place:end] = new if kind in ("replace", "insert") else b""
    return bytes(content) + b"x" * (content == before)


NAMES = st.sampled_from(["a.npy", "a.npz", "a.h5", "f/a.npy", "f/a_r.fits", "f/a.png"])
WHOLE = st.tuples(NAMES, arrays()).map(lambda of: (of[0], packed(*of)))
FILE = WHOLE | WHOLE.flatmap(lambda of: st.tuples(st.just(of[0]), mutated(st.just(of[1]))))
OPTIONS = {
    "size": st.sampled_from([8, 16, 0, -1, 2**40]),
    "crop": st.sampled_from([None, 8, 16, 10**400]),
    "bands": st.sampled_from([["r"], ["g", "r", "z"], [], ["r", "r"], ["(", "|"]]),
    "kind": st.sampled_from(["flux", "display", "auto", "x"]),
    "key": st.sampled_from([None, "x", "ids", ""]),
    "distinct": st.sampled_from([None, 0.9, np.nan]),
}


@examples(200)
@given(file=FILE, options=st.fixed_dictionaries(OPTIONS))
def test_any_file_becomes_a_data_set_or_a_GalgenError_of_one_line(file, options):
    name, content = file
    with tempfile.TemporaryDirectory() as folder, in_bounds():
        path = Path(folder, name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        try:
            found = import_images(path if path.parent == Path(folder) else path.parent, **options)
            made = write_imported(Path(folder, "set"), found, source="a", manifest="local")
        except GalgenError as error:
            assert "\n" not in str(error) and 10 < len(str(error)) < 2000
            return
        assert made.images.shape[1:] == (1, options["size"], options["size"])
        Dataset.open(made.directory).verify()


WILD = st.sampled_from(
    ["", "nan", "-1", "1.5", "9" * 400, "x" * 300, "$(id)", "--N", "..", "é", "\udcff", "f"]
)
COMMANDS = {
    "plan": ["--profile", "--data", "--N", "--seed", "--precision", "--store"],
    "train diffusion-N8-A0-0": ["--profile", "--N", "--threads", "--out"],
    "data prepare --profile smoke": ["--data", "--N", "--seed"],
    "data import": ["--out", "--size", "--crop", "--bands", "--kind", "--Q", "--distinct"],
    "data simulate --out new --count 0": ["--size", "--crop", "--seed", "--population", "--workers"],
    "data info": [],
    "data fetch": ["--out", "--source", "--manifest", "--workers"],
    "sample diffusion-N10-A": ["--out", "-n", "--first", "--models", "--store", "--seed"],
    "denoise": ["--model", "--out", "--sigma", "--key"],
    "audit": ["--samples", "--train", "--held-out", "--model", "--images", "--size", "--out"],
    "runs show": ["--store"],
    "runs rm": ["--store"],
}


@st.composite
def lines(draw):
    """A command line: the options a command has, with values that it may not take."""
    command = draw(st.sampled_from(sorted(COMMANDS)))
    options = draw(st.lists(st.sampled_from(COMMANDS[command] or ["--x"]), max_size=3, unique=True))
    given = [word for option in options for word in (option, draw(WILD))]
    return [*command.split(), *given, *draw(st.lists(WILD, max_size=1))]


def refuse(*given, **how):
    raise GalgenError("enough: it would be simulated")


@examples(150)
@given(line=lines())
def test_any_command_line_ends_with_exit_code_0_or_2_and_one_line(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("galgen.data.simulate.source.simulate", refuse)
    (tmp_path / "f").mkdir(exist_ok=True)
    said = io.StringIO()
    with in_bounds(), contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = cli.main(line)
    assert code in (0, 2)
    last = said.getvalue().splitlines()[-1:]
    assert code == 0 or (last[0].startswith("galgen: error: ") and len(last[0]) < 2000)


SPOILT = {
    "cut off": lambda content: content[: len(content) // 2],
    "a header that lies": lambda content: b"\xff" * 8 + content[8:],
    "other bytes": lambda content: content[:-900] + bytes(900),
}
OTHERS = [b"", b"x", b"{", b"[]", b"{}", b'{"key": null, "sha256": {"../x": 1}}']
SPOILT |= {str(other): lambda content, other=other: other for other in OTHERS}
FILES = dict.fromkeys(["weights-*", "record.json"], "sample diffusion-N12-A --models models --out x.npz")
FILES |= dict.fromkeys(["meta.json", "images.npy", "catalogue.ecsv"], "data verify set")
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 16), np.uint8)


@pytest.fixture(scope="module")
def whole(smoke, tmp_path_factory):
    """A folder with a published model and a data set."""
    folder, experiment = tmp_path_factory.mktemp("whole"), smoke["diffusion"]
    publish(experiment, experiment.models.pair(12)[0], folder / "models")
    np.savez(folder / "a.npz", images=IMAGES)
    images = import_images(folder / "a.npz", size=16)
    write_imported(folder / "set", images, source="a", manifest="local")
    return folder


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("name", FILES)
def test_a_spoilt_file_is_told_in_one_line(whole, tmp_path, monkeypatch, capsys, name, how):
    monkeypatch.chdir(shutil.copytree(whole, tmp_path / "copy"))
    (path,) = Path().rglob(name)
    path.write_bytes(SPOILT[how](path.read_bytes()))
    store_module._VERIFIED.clear()
    assert cli.main(FILES[name].split()) == 2
    assert capsys.readouterr().err.count("\n") == 1


IDS = [
    (["a b", ' "q', "# %ECSV"], ["a b", '"q', "# %ECSV"]),
    (["a\nb", "\x1b[3m", "\u202e"], [r"a\nb", r"\x1b[3m", r"\u202e"]),
    ([b"\xff", b"b", b"c"], [r"\xff", "b", "c"]),
]


@pytest.mark.parametrize(("ids", "known"), IDS)
def test_ids_and_columns_come_back_as_text_that_steers_nothing(tmp_path, ids, known):
    np.savez(tmp_path / "a.npz", images=IMAGES, ids=np.array(ids), **{"k\n#": np.array(["#", "y", "z"])})
    found = import_images(tmp_path / "a.npz", size=16)
    dataset = write_imported(tmp_path / "set", found, source="\u202ea", manifest="local")
    dataset.verify()
    assert list(dataset.catalogue["id"]) == known and list(dataset.catalogue[r"k\n#"]) == ["#", "y", "z"]
    assert dataset.name == r"\u202ea"


def test_ids_that_name_no_galaxy_or_two_are_refused(tmp_path):
    for ids in (["a", " ", "b"], ["a", "b", "b"]):
        np.savez(tmp_path / "a.npz", images=IMAGES, ids=np.array(ids))
        with pytest.raises(GalgenError, match="is blank or not unique"):
            import_images(tmp_path / "a.npz", size=16)


def test_files_of_any_name_are_told_apart(tmp_path):
    for name in (b"\xff.png", b"#b.png", b"c.png", b"c.jpg", b"\xe2\x80\xae.png"):
        Image.fromarray(IMAGES[0]).save(tmp_path / "x.png")
        os.rename(tmp_path / "x.png", os.fsencode(tmp_path) + b"/" + name)
    assert cli.main(["data", "import", str(tmp_path), "--size", "16", "--out", str(tmp_path / "set")]) == 0
    ids = list(Dataset.open(tmp_path / "set").catalogue["id"])
    assert sorted(ids) == sorted([r"\udcff.png", "#b.png", "c.png", "c.jpg", r"\u202e.png"])


def test_a_refused_import_leaves_no_folder(tmp_path):
    assert cli.main(["data", "import", "nothing.npz", "--out", str(tmp_path / "new" / "deeper")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_no_text_steers_the_terminal_or_the_page(capsys):
    assert cli.main(["data", "info", "\x1b[31mred\u202e\udcff"]) == 2
    assert r"\x1b[31mred\u202e\udcff is not" in capsys.readouterr().err
    found = {"machine": "a\u202e\x1b[3m, \u2066x", "matrix_gflops": 1.0, "commit": "0", "rows": {}}
    assert not {"\u202e", "\x1b", "\u2066"} & set(rendered("bench.md.j2", timings=found, sizes=[], labels={}))


zeros, ones = np.zeros, np.ones
START_8, QUERIES = torch.zeros(1, 8, 8), torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
DATA = np.random.default_rng(0).integers(0, 256, (20, 1, 12, 12), np.uint8)
BROKEN = QUERIES / torch.tensor([0, 1]).reshape(2, 1, 1, 1)
Z = latents(n=8)


def walk(start, seeds):
    return dpm_solver_2m(lambda y, sigma: y, start, seeds, noise_schedule(1.0, 0.02, 5))


CASES = [
    (lambda: UNet(2)(torch.zeros(1, 1, 20, 16)), "multiples of 8"),
    (lambda: Glow(size=12, steps=1, levels=3), "Glow cannot have 3 levels"),
    (lambda: walk(START_8, [2**32]), "seed 4294967296 is outside"),
    (lambda: walk(START_8[0], [1]), "give one image"),
    (lambda: noise_schedule(1.0, 2.0, 20), "noise from 1.0 to 2.0"),
    (lambda: stochastic_ascent(lambda y, _: y * torch.nan, START_8, range(3)), "none of 3 samples"),
    (lambda: stochastic_ascent(lambda y, _: 0 * y, START_8, range(3), max_steps=5), "increase max_steps"),
    (lambda: train(None, zeros((3, 1, 8, 8)), "x", BatchSampler(3, 8, 4, 0, 0, schedule)), "must be uint8"),
    (lambda: bootstrap(ones(1)), "two samples or more"),
    (lambda: exchange_test(np.array([np.nan, 1]), ones(2)), "converge"),
    (lambda: invert(Linear(), Linear(), [Z[0], Z[1][:4]]), "as many images"),
    (lambda: c2st(ones((20, 2)), ones((22, 2)), paired=True), "not pairs"),
    (lambda: c2st(np.full((20, 2), np.nan), ones((20, 2))), "finite"),
    (lambda: features(torch.zeros(3, 1, 12, 12)), "H = 8, 16"),
    (lambda: agreement_test(BROKEN, QUERIES, mean=mean_image(DATA)), "some not finite"),
    (lambda: photometry(zeros((4, 1, 16, 12))), "square gray images"),
    (lambda: measure(zeros((4, 3, 16, 16))), "n, 1, H, W"),
    (lambda: nearest(QUERIES, DATA, kind="cosine"), "unknown kind"),
    (lambda: cosine(QUERIES, QUERIES[:1], kind="raw"), "pairs"),
    (lambda: flux_to_gray(zeros((1, 3, 8, 8)), size=4, crop=9), "crop 9"),
    (lambda: Parameters.of_notebook({"M": 500, "np": np, "In": []}), "unknown parameter M"),
    (lambda: Parameters.of_notebook({"N": [10, "30"]}), "parameters: N"),
]


@pytest.mark.parametrize(("call", "words"), CASES, ids=[words for _, words in CASES])
def test_bad_input_is_named(call, words):
    with pytest.raises(GalgenError, match=words):
        call()
