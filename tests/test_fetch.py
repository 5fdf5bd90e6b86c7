import io
import json
import os
import signal
import subprocess
import sys
import time

import filelock
import hostile_server as hostile
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from galgen.data.acquire.download import Network
from galgen.data.acquire.importing import import_images
from galgen.data.acquire.survey import Position, fetch, read_positions
from galgen.data.preprocess import flux_to_gray
from galgen.runs.errors import GalgenError
from galgen.runs.files import file_sha256

SIZE = 40
QUICK = Network(rate=2000, timeout=10, deadline=10, retries=2, backoff=0.01, retry_after_max=5)
IMPATIENT = QUICK.model_copy(update={"timeout": 0.4, "deadline": 0.8})


@pytest.fixture
def server():
    with hostile.running() as server:
        yield server


def catalogue(folder, count):
    path = folder / f"catalogue-{count}.csv"
    rows = [f"1237648720693{i:06d},{i},{i / 10}" for i in range(1, count + 1)]
    path.write_text("\n".join(["id,ra,dec", *rows]) + "\n")
    return path


def name(number):
    return f"1237648720693{number:06d}"


def run(server, tmp_path, count, **options):
    options = {"network": QUICK, "progress": False, "size": SIZE} | options
    return fetch(catalogue(tmp_path, count), tmp_path / "cutouts", template=server.template, **options)


def there(tmp_path):
    return list(Table.read(tmp_path / "cutouts" / "ok.ecsv")["id"].astype(str))


def test_every_band_of_every_object_is_what_the_server_has_and_can_be_imported(server, tmp_path):
    report = run(server, tmp_path, 5)
    assert there(tmp_path) == [name(i) for i in range(1, 6)]
    cubes = np.stack([hostile.cube(f"{i:.6f}", "grz", SIZE) for i in range(1, 6)])
    for i in range(1, 6):
        np.testing.assert_array_equal(fits.getdata(tmp_path / "cutouts" / f"{name(i)}.fits"), cubes[i - 1])
    found = import_images(tmp_path / "cutouts", size=20, crop=40)
    np.testing.assert_array_equal(found.images, flux_to_gray(cubes, size=20, crop=40))
    assert list(found.catalogue["id"]) == there(tmp_path)
    table = Table.read(tmp_path / "cutouts" / "ok.ecsv")
    assert list(table["ra"]) == [1, 2, 3, 4, 5]
    assert json.loads((tmp_path / "cutouts" / "report.json").read_text()) == report
    none = {"count": 0, "reasons": {}, "objects": {}}
    assert report == {"requested": 5, "ok": 5, "not_tried": 0, "dropped": none, "failed": none}


def nan(content):
    data = fits.getdata(io.BytesIO(content)).copy()
    data[1, 3, 3] = np.nan
    return hostile.fits_bytes(data)


def zeros(share):
    def make(content):
        data = np.ones((3, SIZE, SIZE), np.float32)
        data[1:].reshape(2, -1)[:, : int(share * SIZE**2)] = 0
        return hostile.fits_bytes(data)

    return make


def of_ones(*shape, **header):
    return hostile.body(lambda _: hostile.fits_bytes(np.ones(shape, np.float32), **header))


# By the reason that is told: the fault, what becomes of the object, and how often it was asked for.
FAULTS = {
    "HTTP 404": (hostile.status(404), "dropped", 1),
    "HTTP 410": (hostile.status(410), "dropped", 1),
    "shape (3, 60, 60), not (3, 40, 40)": (of_ones(3, 60, 60), "dropped", 1),
    "shape (1, 100, 100), not (3, 40, 40)": (of_ones(100, 100), "dropped", 1),
    "bands gri, not grz": (of_ones(3, SIZE, SIZE, BANDS="gri"), "dropped", 1),
    "pixels not finite in r": (hostile.body(nan), "dropped", 1),
    "more than 30% zeros in r": (hostile.body(zeros(0.31)), "dropped", 1),
    "under 15000 bytes": (hostile.body(lambda _: hostile.fits_bytes(None)), "dropped", 1),
    "over 1125376 bytes": (hostile.body(lambda _: b"SIMPLE  =" + bytes(2**21)), "dropped", 1),
    "not a whole FITS file": (hostile.body(lambda _: hostile.HTML), "failed", 1),
    "damaged FITS file": (hostile.body(lambda content: content[: 2880 * 6]), "failed", 1),
    "HTTP 500": (hostile.status(500), "failed", 3),
    "HTTP 403": (hostile.status(403), "failed", 3),
    "HTTP 429": (hostile.status(429), "failed", 3),
    "connection failed (ProtocolError)": (hostile.cut_off(0.5), "failed", 1),
    "connection failed (ReadTimeoutError)": (hostile.cut_off(0.1, 1.0), "failed", 1),
    "connection failed (ConnectionError)": (hostile.reset(), "failed", 3),
    "slower than 0.8 s": (hostile.trickling(0.05), "failed", 1),
}


@pytest.mark.parametrize("reason", FAULTS)
def test_a_fault_costs_its_object_alone_for_good_or_until_the_next_run(server, tmp_path, reason):
    fault, fate, requests = FAULTS[reason]
    server.faults[2] = fault
    # a busy machine may be as slow: only these two are met with little patience
    slow = "ReadTimeout" in reason or "slower" in reason
    report = run(server, tmp_path, 3, network=IMPATIENT if slow else QUICK)
    asked = server.asked[1], server.asked[3]
    assert there(tmp_path) == [name(1), name(3)] and report[fate]["objects"] == {name(2): reason}
    assert report["dropped"]["count"] + report["failed"]["count"] == 1
    assert server.asked[2] == requests and not list((tmp_path / "cutouts").glob(f"{name(2)}*.fits"))
    del server.faults[2]
    assert run(server, tmp_path, 3)["ok"] == (2 if fate == "dropped" else 3)
    assert run(server, tmp_path, 3, retry_dropped=True)["ok"] == 3
    assert (server.asked[1], server.asked[3]) == asked, "what had arrived was asked for again"
    assert slow or asked == (1, 1)


@pytest.mark.parametrize("fault", [hostile.status(500, times=2), hostile.reset(times=2)])
def test_a_passing_trouble_costs_a_repeat_and_no_object(server, tmp_path, fault):
    server.faults[1] = fault
    assert run(server, tmp_path, 2)["ok"] == 2
    assert server.asked[1] == 3


def test_retry_after_silences_all_workers(server, tmp_path):
    server.faults[1] = hostile.status(429, times=1, Retry_After="1")
    server.delay = 0.02
    assert run(server, tmp_path, 30)["ok"] == 30
    gaps = np.diff(sorted(server.times))
    assert gaps.max() > 0.9
    # Requests under way when the server asked for quiet may still arrive: one for each of the four workers.
    assert np.argmax(gaps) < 8


def test_retry_after_is_capped(server, tmp_path):
    server.faults[1] = hostile.status(503, times=1, Retry_After="86400")  # a day, or this would end
    assert run(server, tmp_path, 2, network=QUICK.model_copy(update={"retry_after_max": 1}))["ok"] == 2


def test_the_rate_holds_for_all_workers_together_repeats_included(server, tmp_path):
    server.faults[1] = hostile.status(500, times=1)
    network = QUICK.model_copy(update={"rate": 50, "backoff": 1e-9})
    run(server, tmp_path, 20, network=network, workers=8)
    times = np.sort(server.times)
    assert len(times) == 21
    assert times[-1] - times[0] >= 0.9 * 20 / 50


def test_a_server_that_is_down_ends_the_run_and_keeps_what_arrived(server, tmp_path):
    server.faults |= {i: hostile.status(500) for i in range(3, 41)}
    with pytest.raises(GalgenError, match=r"5 objects in a row .*HTTP 500.*same command"):
        run(server, tmp_path, 40, give_up_after=5, workers=1)
    summary = json.loads((tmp_path / "cutouts" / "report.json").read_text())
    assert summary["ok"] == 2 and summary["failed"]["reasons"] == {"HTTP 500": 5}
    assert summary["not_tried"] == 33
    server.faults.clear()
    assert run(server, tmp_path, 40)["ok"] == 40
    # What had arrived is not asked for again; the object under way at the end of the first run may be.
    assert (server.served[1], server.served[2]) == (1, 1)


def test_a_folder_answers_one_request_only(server, tmp_path):
    run(server, tmp_path, 2)
    with pytest.raises(GalgenError, match=r"holds cut-outs of size 40, not 48"):
        run(server, tmp_path, 2, size=48)
    assert run(server, tmp_path, 3)["ok"] == 3, "a longer catalogue goes on"
    with pytest.raises(GalgenError, match=rf"holds object {name(3)} at 3.000000 0.300000"):
        run(server, tmp_path, 2)
    for damaged in ("{", "{}"):
        (tmp_path / "cutouts" / "fetch.json").write_text(damaged)
        with pytest.raises(GalgenError, match=r"fetch\.json is damaged"):
            run(server, tmp_path, 3)


def test_two_fetches_cannot_fill_one_folder(server, tmp_path):
    (tmp_path / "cutouts").mkdir()
    with (
        filelock.FileLock(tmp_path / "cutouts" / ".fetch.lock"),
        pytest.raises(GalgenError, match="another fetch is filling"),
    ):
        run(server, tmp_path, 1)


IDS = ["1237648720693755918", "0042", "J1234+56.7_b"]


def test_a_csv_as_the_sdss_archive_writes_it_keeps_every_digit_of_its_ids(tmp_path):
    path = tmp_path / "catalogue.csv"
    path.write_text(f"#Table1\nid,RA,Dec,redshift\n{IDS[0]},0.1234567,-5,0.1\n{IDS[1]},360,90,\n")
    positions = read_positions(path)
    assert [position.id for position in positions] == IDS[:2]
    assert positions[0].place == ("0.123457", "-5.000000")


@pytest.mark.parametrize(("suffix", "format_"), [("ecsv", "ascii.ecsv"), ("fits", "fits")])
@pytest.mark.parametrize("ids", [IDS, [1237648720693755918, 7, 8]], ids=["text", "integers"])
def test_ecsv_and_fits_tables_are_read_alike(tmp_path, suffix, format_, ids):
    path = tmp_path / f"catalogue.{suffix}"
    Table({"id": ids, "ra": [1.0, 2.0, 3.0], "dec": [4, 5, 6]}).write(path, format=format_)
    wanted = [Position(id=str(id_), ra=ra, dec=ra + 3) for id_, ra in zip(ids, [1, 2, 3], strict=True)]
    assert read_positions(path) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,x,y\n1,2,3\n", r"no column 'ra' and no column 'dec'; its columns are id, x, y"),
        ("id,ra,dec\n1,2,3\n2,2,3\n1,4,5\n", r"1 ids are there more than once, for example '1'"),
        ("id,ra,dec\n1,2,3\n7,361,3\n", r"1\.ra: .*less than or equal to 360.*'361'"),
        ("id,ra,dec\n7,nan,3\n", r"0\.ra: .*finite.*nan"),
        ("id,ra,dec\n../7,1,2\n", r"0\.id: .*'\.\./7'"),
        ("id,ra,dec\n", r"has no rows"),
        ("id,ra,dec\n1,2,3,4\n", r"cannot be read as a table"),
        (np.array([1237648720693755918.0]), "lose digits"),
    ],
)
def test_a_bad_catalogue_is_explained_by_name(tmp_path, text, message):
    path = tmp_path / ("catalogue.csv" if isinstance(text, str) else "catalogue.fits")
    if isinstance(text, str):
        path.write_text(text)
    else:
        Table({"id": text, "ra": [1.0], "dec": [2.0]}).write(path)
    with pytest.raises(GalgenError, match=rf"(?s)catalogue\.(csv|fits):?,? .*{message}"):
        read_positions(path)


def test_a_column_of_a_type_that_fits_has_not_is_explained(tmp_path):
    path = tmp_path / "catalogue.fits"
    Table({"id": ["a"], "ra": [1.0], "dec": [2.0]}).write(path)
    path.write_bytes(path.read_bytes().replace(b"TFORM2  = 'D", b"TFORM2  = 'Z"))
    with pytest.raises(GalgenError, match="cannot be read as a table"):
        read_positions(path)


CHILD = """
import sys
from galgen.data.acquire.download import Network
from galgen.data.acquire.survey import fetch
network = Network(rate=2000, timeout=10, retries=2, backoff=0.01)
fetch(sys.argv[1], sys.argv[2], template=sys.argv[3], size=40, network=network, progress=False)
"""


def start(server, path, folder):
    arguments = [sys.executable, "-c", CHILD, str(path), str(folder), server.template]
    return subprocess.Popen(arguments, env={**os.environ, "OMP_NUM_THREADS": "1"})


def state(folder):
    return {path.name: file_sha256(path) for path in folder.iterdir()}


def kept(folder):
    """The objects that a killed process has left whole or ruled out."""
    return {int(path.name[13:19]) for path in folder.glob("[!.]*") if path.suffix in (".fits", ".dropped")}


def test_a_fetch_killed_again_and_again_ends_as_one_that_never_was(server, tmp_path):
    count, kills = 120, 4
    path = catalogue(tmp_path, count)
    server.faults |= {5: hostile.status(404), 20: hostile.body(nan), 41: hostile.status(410)}
    assert start(server, path, tmp_path / "whole").wait(120) == 0
    server.asked.clear()
    server.served.clear()
    server.delay = 0.02
    rng = np.random.default_rng(7)
    folder = tmp_path / "killed"
    settled = {}
    for _ in range(kills):
        goal = server.served.total() + int(rng.integers(1, 25))
        child = start(server, path, folder)
        while server.served.total() < goal and child.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.03))
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, "done before it was killed"
        settled = {key: server.asked[key] for key in kept(folder)} | settled
        for cube in folder.glob("[!.]*.fits"):
            assert fits.getdata(cube).shape == (3, SIZE, SIZE), "half-written"
    assert start(server, path, folder).wait(120) == 0
    assert state(folder) == state(tmp_path / "whole")
    assert len([*folder.glob("*.fits")]) == count - len(server.faults)
    assert len(settled) > kills
    for key, times in settled.items():
        assert server.asked[key] == times, f"{key} was asked for again"
    again = sum(times - 1 for times in server.served.values())
    assert again <= 4 * kills, "a kill may lose the downloads under way, one a worker"
