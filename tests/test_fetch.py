"""Cut-outs fetched from a local server with programmed faults."""

import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import filelock
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
QUICK = Network(rate=2000, timeout=10, retries=2, backoff=0.01)


def cube(number):
    return np.random.default_rng(number).normal(0.0, 0.01, (3, SIZE, SIZE)).astype(np.float32)


def fits_bytes(data, **header):
    buffer = io.BytesIO()
    fits.PrimaryHDU(data, fits.Header(header)).writeto(buffer)
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    """Counts requests by object, whose number is its right ascension; `faults` are answers in place of cubes.

    A fault is a status and a content, and how often it is given; a content of None breaks the connection.
    """

    daemon_threads, block_on_close = True, False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults, self.asked, self.times, self.delay = {}, Counter(), [], 0.0
        query = "?ra={ra}&dec={dec}&size={size}&pixscale={pixscale}&bands={bands}"
        self.template = f"http://127.0.0.1:{self.server_port}/{query}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        number = round(float(parse_qs(urlsplit(self.path).query)["ra"][0]))
        self.server.asked[number] += 1
        self.server.times.append(time.monotonic())
        time.sleep(self.server.delay)
        status, content, times = self.server.faults.get(number, (200, b"", 0))
        if self.server.asked[number] > times:
            status, content = 200, fits_bytes(cube(number), BANDS="grz")
        self.send_response(status)
        self.send_header("Content-Length", str(len(content or b"all of it")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, format, *args):
        """The test's output is not a server log."""


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def name(number):
    return f"1237648720693{number:06d}"


def catalogue(folder, count):
    path = folder / f"catalogue-{count}.csv"
    rows = [f"{name(i)},{i},{i / 10}" for i in range(1, count + 1)]
    path.write_text("\n".join(["id,ra,dec", *rows]) + "\n")
    return path


def run(server, tmp_path, count, **options):
    options = {"network": QUICK, "progress": False, "size": SIZE} | options
    return fetch(catalogue(tmp_path, count), tmp_path / "cutouts", template=server.template, **options)


def test_every_object_is_what_the_server_has_and_can_be_imported(server, tmp_path):
    report = run(server, tmp_path, 5)
    none = {"count": 0, "reasons": {}}
    assert report == {"requested": 5, "ok": 5, "not_tried": 0, "dropped": none, "failed": none}
    assert json.loads((tmp_path / "cutouts" / "report.json").read_text()) == report
    found = import_images(tmp_path / "cutouts", size=20, crop=40)
    assert list(found.catalogue["id"]) == [name(i) for i in range(1, 6)]
    cubes = np.stack([cube(i) for i in range(1, 6)])
    np.testing.assert_array_equal(found.images, flux_to_gray(cubes, size=20, crop=40))


GOOD, ONES = fits_bytes(cube(2)), np.ones((3, SIZE, SIZE), np.float32)
ZEROS, NAN = ONES * (np.arange(SIZE)[:, None] > 0.31 * SIZE), np.where(np.eye(SIZE) > 0, np.nan, ONES)
# By the reason that is told: the answer, what becomes of the object, and how often it was asked for.
FAULTS = {
    "HTTP 404": (404, b"no", "dropped", 1),
    "shape (1, 50, 40), not (3, 40, 40)": (200, fits_bytes(np.ones((50, 40))), "dropped", 1),
    "bands gri, not grz": (200, fits_bytes(ONES, BANDS="gri"), "dropped", 1),
    "pixels not finite": (200, fits_bytes(NAN), "dropped", 1),
    "more than 30% zeros in a band": (200, fits_bytes(ZEROS), "dropped", 1),
    "no image in the FITS file": (200, fits_bytes(None), "dropped", 1),
    "over 1125376 bytes": (200, b"SIMPLE  =" + bytes(2**21), "dropped", 1),
    "not a whole FITS file": (200, b"<html>", "failed", 1),
    "damaged FITS file": (200, GOOD[: 2880 * 6], "failed", 1),
    "HTTP 429": (429, b"no", "failed", 3),
    "connection failed (ProtocolError)": (200, None, "failed", 1),
}


@pytest.mark.parametrize("reason", FAULTS)
def test_a_fault_costs_its_object_alone_for_good_or_until_the_next_run(server, tmp_path, reason):
    *answer, fate, requests = FAULTS[reason]
    server.faults[2] = (*answer, 9)
    report = run(server, tmp_path, 3)
    assert report["ok"] == 2 and report[fate] == {"count": 1, "reasons": {reason: 1}}
    assert server.asked[2] == requests and not (tmp_path / "cutouts" / f"{name(2)}.fits").exists()
    server.faults.clear()
    assert run(server, tmp_path, 3)["ok"] == (2 if fate == "dropped" else 3)
    assert run(server, tmp_path, 3, retry_dropped=True)["ok"] == 3
    assert (server.asked[1], server.asked[3]) == (1, 1), "what had arrived was asked for again"


def test_a_passing_trouble_costs_a_repeat_and_the_rate_holds_for_all_workers(server, tmp_path):
    server.faults[1] = (500, b"no", 2)
    network = QUICK.model_copy(update={"rate": 50})
    assert run(server, tmp_path, 20, network=network, workers=8)["ok"] == 20
    assert server.asked[1] == 3 and np.ptp(server.times) >= 0.9 * 19 / 50


def test_a_server_that_is_down_ends_the_run_and_keeps_what_arrived(server, tmp_path):
    server.faults |= {i: (500, b"no", 3) for i in range(3, 41)}
    with pytest.raises(GalgenError, match=r"5 objects in a row were lost .HTTP 500.*same command"):
        run(server, tmp_path, 40, give_up_after=5, workers=1)
    report = json.loads((tmp_path / "cutouts" / "report.json").read_text())
    assert (report["ok"], report["failed"]["reasons"], report["not_tried"]) == (2, {"HTTP 500": 5}, 33)
    server.faults.clear()
    assert run(server, tmp_path, 40)["ok"] == 40 and server.asked[1] == server.asked[2] == 1


def test_a_folder_answers_one_request_of_one_writer(server, tmp_path):
    run(server, tmp_path, 2)
    assert run(server, tmp_path, 3)["ok"] == 3, "a longer catalogue goes on"
    for count, options in ((2, {}), (3, {"size": 48})):
        with pytest.raises(GalgenError, match="has cut-outs of another request"):
            run(server, tmp_path, count, **options)
    with filelock.FileLock(tmp_path / "cutouts" / ".fetch.lock"):
        with pytest.raises(GalgenError, match="another fetch is filling"):
            run(server, tmp_path, 3)
    (tmp_path / "cutouts" / "fetch.json").write_text("{")
    with pytest.raises(GalgenError, match=r"fetch\.json cannot be read"):
        run(server, tmp_path, 3)


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


BAD = [
    ("id,x,y\n1,2,3\n", r"0\.ra: Field required"),
    ("id,ra,dec\n1,2,3\n2,2,3\n1,4,5\n", r"id '1' is blank or not unique"),
    ("id,ra,dec\n1,2,3\n7,361,3\n", r"1\.ra: .*less than or equal to 360.*'361'"),
    ("id,ra,dec\n../7,1,2\n", r"0\.id: .*'\.\./7'"),
    ("id,ra,dec\n", r"at least 1 item"),
    ("id,ra,dec\n1,2,3,4\n", r"cannot be read .*; give a CSV, ECSV or FITS table with the columns"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_bad_catalogue_is_explained_by_name(tmp_path, text, message):
    (tmp_path / "catalogue.csv").write_text(text)
    with pytest.raises(GalgenError, match=rf"(?s)catalogue\.csv:?,? .*{message}"):
        read_positions(tmp_path / "catalogue.csv")


CHILD = """
import sys
from galgen.data.acquire.download import Network
from galgen.data.acquire.survey import fetch
network = Network(rate=2000, timeout=10, retries=2, backoff=0.01)
fetch(sys.argv[1], sys.argv[2], template=sys.argv[3], size=40, network=network, progress=False)
"""


def test_a_fetch_killed_again_and_again_ends_as_one_that_never_was(server, tmp_path):
    count, kills, folder = 120, 3, tmp_path / "killed"
    command = [sys.executable, "-c", CHILD, str(catalogue(tmp_path, count))]
    server.faults |= {5: (404, b"no", 99), 20: (200, fits_bytes(NAN), 99)}
    subprocess.run([*command, str(tmp_path / "whole"), server.template], check=True)
    server.asked.clear()
    server.delay = 0.02
    for kill in range(kills):
        child = subprocess.Popen([*command, str(folder), server.template])
        goal = server.asked.total() + 7 + 5 * kill
        while server.asked.total() < goal:
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, "done before it was killed"
    subprocess.run([*command, str(folder), server.template], check=True)
    states = [{path.name: file_sha256(path) for path in of.iterdir()} for of in (folder, tmp_path / "whole")]
    assert states[0] == states[1] and len([*folder.glob("*.fits")]) == count - 2
    assert server.asked.total() <= count + 4 * kills, (
        "a kill may lose the downloads under way, one per worker"
    )
