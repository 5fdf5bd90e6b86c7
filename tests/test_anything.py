"""Whatever is given: it ends in a data set, a GalgenError or exit code 2, soon, and in little memory.

Hypothesis invents the input, the same at each run. GALGEN_EXAMPLES=1000 tries more, and other ones each time.
"""

import contextlib
import functools
import inspect
import io
import os
import re
import signal
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from galbook.press import runs
from galbook.press.runs import Run, asked
from galgen import cli, costs
from galgen.data.acquire.importing import import_images, write_imported
from galgen.data.dataset import Dataset
from galgen.data.simulate import source
from galgen.experiment import Experiment
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


# Bytes

SIZES = st.integers(-3, 20) | st.sampled_from([64, 4096, 2**16, 2**20, 2**31, 2**40, 2**63, 10**400])
SHAPES = st.lists(SIZES, max_size=5).map(tuple)
DTYPES = "|u1 <f4 >f8 <i2 <u8 |b1 <c16 |S3 <U2 |O |V7 <M8[s] <f2 u1,f4".split()
NUMBERS = st.one_of(st.floats(), st.integers(), st.sampled_from([0.0, -1.0, 1e-300, 1e300, 255.0]))


@st.composite
def arrays(draw):
    """Small arrays of any kind, and images as they should be."""
    shape = draw(st.sampled_from([(3, 16, 16), (2, 3, 16, 16), (3, 16, 16, 3), (16, 16), (3,), (0, 16, 16)]))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    found = rng.normal(draw(st.sampled_from([0.5, 0, 128])), 0.2, shape)
    if draw(st.booleans()):
        found.flat[: draw(st.integers(0, 2))] = draw(NUMBERS.filter(lambda x: abs(x) < 1e308 or x != x))
    with np.errstate(all="ignore"):
        return found.astype(draw(st.sampled_from([np.uint8, np.float32, np.float64, np.int16, ">f4", bool])))


@st.composite
def npy(draw):
    """A file of NumPy, or its header with a shape and a type that are not those of what follows."""
    if draw(st.booleans()):
        buffer = io.BytesIO()
        np.save(buffer, draw(arrays()))
        return buffer.getvalue()
    entries = {"descr": draw(st.sampled_from(DTYPES)), "fortran_order": draw(st.booleans())}
    text = repr(entries | {"shape": draw(SHAPES)}) + draw(st.sampled_from(["", " " * 70000, "(" * 300]))
    version = draw(st.sampled_from([1, 2, 3, 9]))
    length = len(text).to_bytes(2 if version == 1 else 4, "little") if len(text) < 2**16 else b"\xff\xff"
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode() + bytes(draw(st.integers(0, 2000)))


@st.composite
def texts(draw):
    """A file of NumPy with names, of three images or planes, some of them very long."""
    buffer = io.BytesIO()
    np.save(buffer, np.array(draw(st.lists(NAMES, min_size=3, max_size=3))))
    return buffer.getvalue()


NAMES = st.sampled_from(["g", "r", "z", "", "\x1b[3m", "y" * 9_999])


@st.composite
def npz(draw):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        names = st.sampled_from(["x", "ids", "bands", "y", "../z", "", "x" * 9000])
        for name in draw(st.lists(names, max_size=3, unique=True)):
            suffix = draw(st.sampled_from([".npy", ".npy", "", ".txt"]))
            member = zipfile.ZipInfo(name + suffix)  # of no date
            member.compress_type = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
            file.writestr(member, draw(npy() | texts() | st.binary(max_size=50)))
    return buffer.getvalue()


@st.composite
def hdf5(draw):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name in draw(st.lists(st.sampled_from(["x", "ids", "bands", "a/b"]), max_size=3, unique=True)):
            file[name] = draw(arrays())
        if draw(st.booleans()):
            file["link"] = draw(st.sampled_from([h5py.SoftLink("/no"), h5py.ExternalLink("a", "/")]))
    return buffer.getvalue()


@st.composite
def a_fits(draw):
    """A cube, or a header of numbers that are not those of what follows."""
    if draw(st.booleans()):
        buffer = io.BytesIO()
        fits.PrimaryHDU(draw(arrays()).astype(np.float32)).writeto(buffer)
        return buffer.getvalue()
    cards = {"SIMPLE": "T", "BITPIX": draw(st.sampled_from(["-32", "8", "7", "x"])), "NAXIS": "2"}
    cards |= {f"NAXIS{k}": str(draw(SIZES))[:40] for k in (1, 2)}
    cards |= {"BANDS": draw(st.sampled_from(["1", "'grz'", "T", "é"])), "RA": "nan"}
    text = "".join(f"{name:8}= {value:>20}".ljust(80)[:80] for name, value in cards.items()) + "END".ljust(80)
    return text.encode("latin-1").ljust(2880) + bytes(draw(st.integers(0, 6000)))


@st.composite
def picture(draw):
    buffer = io.BytesIO()
    size = draw(st.sampled_from([(16, 16), (1, 16), (40, 40)]))
    mode = draw(st.sampled_from(["L", "RGB", "RGBA", "I;16", "1", "P", "LA"]))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, size, np.uint8))
    image = noise.convert(mode) if mode != "I;16" else Image.new(mode, size, 900)
    image.save(buffer, "PNG")
    return buffer.getvalue()


FILES = {"a.npy": npy(), "a.npz": npz(), "a.h5": hdf5()}
FILES |= {"f/a.npy": npy(), "f/a_r.fits": a_fits(), "f/a.png": picture()}


@st.composite
def mutated(draw, content):
    """Some bytes of a file replaced, taken out, put in; or the rest cut off. It is not what it was."""
    content = bytearray(before := draw(content))
    for _ in range(draw(st.integers(1, 4))):
        # Most at the beginning, where the headers are.
        place = draw(st.integers(0, 200) | st.integers(0, max(len(content), 1)))
        kind = draw(st.sampled_from(["replace", "insert", "cut", "delete"]))
        new = draw(st.binary(min_size=1, max_size=9))
        if kind == "cut":
            del content[place:]
        else:
            end = place if kind == "insert" else place + len(new)
            content[place:end] = b"" if kind == "delete" else new
    return bytes(content) + b"x" * (content == before)


FILE = st.sampled_from(sorted(FILES)).flatmap(
    lambda name: st.tuples(st.just(name), FILES[name] | mutated(FILES[name]) | st.binary(max_size=300))
)
OPTIONS = st.fixed_dictionaries(
    {"size": st.sampled_from([8, 16]) | SIZES},
    optional={
        "crop": st.sampled_from([8, 16]) | SIZES,
        "bands": st.sampled_from([["r"], ["g", "r", "z"], [], ["r", "r"], [""], ["(", "|"]]),
        "kind": st.sampled_from(["flux", "display", "auto", "x"]),
        "key": st.sampled_from(["x", "a/b", "ids", ""]),
        "gray": st.booleans(),
        "subtract_sky": st.booleans(),
        "strict": st.booleans(),
        "Q": NUMBERS,
        "stretch": NUMBERS,
        "distinct": NUMBERS | st.sampled_from([0.9, 1.0]),
    },
)


@examples(200)
@given(file=FILE, options=OPTIONS)
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
        size = options["size"]
        assert made.images.shape[1:] == (1, size, size) and len(made) == len(made.catalogue) > 0
        Dataset.open(made.directory).verify()


# Parameters

# Of a name the system takes all but the null; of what is no UTF-8 Python makes surrogates.
TEXTS = st.text(st.characters(exclude_characters="\0\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=12)
# fmt: off
WILD = TEXTS | st.sampled_from([
    "", "nan", "-1", "0", "1.5", "1e9", "abc", "2024_11", "9" * 400, str(2**70), "x" * 300, "~", "$(id)",
    "{a}", "--N", "-", "/", ".", "..", "/etc/hostname/x", "é", "\udcff",
])
# fmt: on
SMALL = st.integers(0, 70).map(str)
SOURCES = WILD | st.sampled_from(["simulated", "one.npz", "some.npz", "set", "f", "fifo"])


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with images; galaxies are drawn at once, and no model is trained."""
    folder = tmp_path_factory.mktemp("here")
    images = np.random.default_rng(0).integers(0, 256, (90, 16, 16), np.uint8)
    np.savez(folder / "one.npz", images=images[:1])
    np.savez(folder / "some.npz", images=images)
    found = import_images(folder / "some.npz", size=16)
    write_imported(folder / "set", found, source="some", manifest="local")
    (folder / "f").mkdir()
    os.mkfifo(folder / "fifo")

    @functools.wraps(source.simulate)
    def simulate(count, *, size, seed, **others):
        rng = np.random.default_rng([seed, len(others["population"])])
        truth = found.catalogue[:1][np.zeros(count, int)]
        return rng.integers(0, 256, (count, 1, size, size), np.uint8), truth

    def train(self, training):
        raise GalgenError("enough: it would be trained")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("GALGEN_STORE", str(folder / "store"))
        patch.setattr(source, "simulate", simulate)
        patch.setattr("galgen.data.simulate.images.simulate", simulate)
        patch.setattr(Experiment, "train", train)
        patch.setattr(costs, "available_memory_mb", lambda: 4000)
        assert cli.main(["plan", "--profile", "smoke"]) == 0  # what is imported late is nobody's input
        yield folder


_ASKED, _IMAGES = ["--profile", "--data", "--N", "--seed", "--precision"], ["--size", "--crop"]
_IMPORT = ["--out", *_IMAGES, "--key", "--bands", "--kind", "--Q", "--stretch", "--distinct", "--gray"]
COMMANDS = {
    "plan": [*_ASKED, "--store"],
    "train diffusion-N8-A0-0": [*_ASKED, "--store", "--threads", "--out"],
    "train": ["--profile", "--seed"],
    "data prepare": [*_ASKED, "--store", "--out"],
    "data import": _IMPORT,
    "data import some.npz": _IMPORT,
    "data simulate --out new": ["--count", *_IMAGES, "--seed", "--population", "--workers"],
    "data info": [],
    "data verify": [],
    "data fetch": ["--out", "--source", "--manifest", "--workers"],
    "runs list": ["--kind", "--store"],
    "runs show": ["--store"],
    "runs rm": ["--store"],
    "runs verify": ["--store"],
}


@st.composite
def lines(draw):
    """A command line: the options a command has, with values that it may not take."""
    command = draw(st.sampled_from(sorted(COMMANDS)))
    line, known = command.split(), COMMANDS[command]
    if "--profile" in known:
        line += ["--profile", "smoke"]
    for option in draw(st.lists(st.sampled_from(known or ["--x"]), max_size=3, unique=True)):
        value = {"--data": SOURCES, "--profile": st.just("smoke") | WILD}.get(option, SMALL | WILD)
        line += [option, draw(value)]
    return line + draw(st.lists(SOURCES, max_size=1))


@examples(150)
@given(line=lines())
def test_any_command_line_ends_with_exit_code_0_or_2_and_one_line(here, line):
    said = io.StringIO()
    with in_bounds(), contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = cli.main(line)
    assert code in (0, 2)
    last = said.getvalue().splitlines()[-1:]
    assert code == 0 or (last[0].startswith("galgen: error: ") and len(last[0]) < 2000)


def commands(app, *above):
    """The words of all commands, and their functions."""
    for name in (name for name in app if name[0] != "-"):
        below = app[name].default_command
        yield from [((*above, name), below)] if below else commands(app[name], *above, name)


def without_a_path():
    """For each path that a command takes a line that has "" in its place, and what else must be there."""
    for words, command in commands(cli.app):
        asked = inspect.signature(command).parameters.values()
        for of in (each for each in asked if "Path" in str(each.annotation)):
            line = list(words)
            for each in (each for each in asked if each is of or each.default is each.empty):
                line += [f"--{each.name.replace('_', '-')}"] * (each.kind == each.KEYWORD_ONLY)
                line += ["" if each is of else "x"]
            yield line


@pytest.mark.parametrize("line", list(without_a_path()), ids=" ".join)
def test_an_empty_text_is_no_path_of_any_command(here, line, capsys):
    assert cli.main(line) == 2 and "'' is no path" in capsys.readouterr().err


GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "profile": st.sampled_from(["smoke", "laptop"]) | WILD,
        "data": SOURCES | st.integers() | st.floats(),
        "sizes": st.lists(SMALL | WILD, max_size=3).map(" ".join) | st.integers(),
        "seed": SMALL | WILD | st.integers() | st.floats(),
    },
)


@examples(150)
@given(values=GIVEN)
def test_any_configuration_is_a_run_with_a_safe_name_or_a_GalgenError(here, values):
    with in_bounds():
        try:
            run = Run(asked(values))
        except GalgenError as error:
            assert "\n" not in str(error)
            return
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,250}", run.name)
        known = ["--profile", run.parameters.profile, f"--data={run.parameters.data}"]
        assert run.options()[:3] == known
        with contextlib.suppress(GalgenError):  # no images there
            assert len(run.data_version()) == 16
        assert runs.data_name(run.parameters.data) in run.name
