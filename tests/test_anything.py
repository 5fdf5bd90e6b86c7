"""Any input ends in a data set, a GalgenError or exit code 2, quickly and with little memory.

Hypothesis generates the input, the same in each run. GALGEN_EXAMPLES=1000 tries more, random ones.
"""

import contextlib
import io
import os
import re
import signal
import tempfile
from pathlib import Path

import h5py
import numpy as np
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from galgen import cli
from galgen.data.acquire.importing import import_images, write_imported
from galgen.data.dataset import Dataset
from galgen.runs.errors import GalgenError

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
