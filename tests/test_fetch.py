import email.utils
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
from galgen.data.acquire.survey import fetch
from galgen.data.preprocess import flux_to_gray
from galgen.runs.errors import GalgenError, checked
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


def files(folder):
    return {path.name: file_sha256(path) for path in folder.iterdir() if path.suffix == ".fits"}


def test_every_band_of_every_object_is_what_the_server_has_and_can_be_imported(server, tmp_path):
    report = run(server, tmp_path, 5)
    assert there(tmp_path) == [name(i) for i in range(1, 6)]
    assert len(files(tmp_path / "cutouts")) == 5
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


PERMANENT = {
    "HTTP 404": (hostile.status(404), 1),
    "HTTP 410": (hostile.status(410), 1),
    "not a whole FITS file": (hostile.body(lambda _: hostile.HTML), 3),
    "not a whole FITS file ": (hostile.body(lambda content: content[:18000]), 3),
    "damaged FITS file": (hostile.body(lambda content: content[: 2880 * 6]), 3),
    "shape (3, 60, 60), not (3, 40, 40)": (
        hostile.body(lambda _: hostile.fits_bytes(np.ones((3, 60, 60), np.float32))),
        1,
    ),
    "shape (1, 100, 100), not (3, 40, 40)": (
        hostile.body(lambda _: hostile.fits_bytes(np.ones((100, 100), np.float32))),
        1,
    ),
    "bands gri, not grz": (
        hostile.body(lambda _: hostile.fits_bytes(np.ones((3, SIZE, SIZE), np.float32), BANDS="gri")),
        1,
    ),
    "pixels not finite in r": (hostile.body(nan), 1),
    "more than 30% zeros in r": (hostile.body(zeros(0.31)), 1),
    "under 15000 bytes": (hostile.body(lambda _: hostile.fits_bytes(None)), 1),
}
TRANSIENT = {
    "HTTP 500": hostile.status(500),
    "HTTP 403": hostile.status(403),
    "HTTP 429": hostile.status(429),
    "connection failed (ProtocolError)": hostile.truncated(),
    "timed out": hostile.stalled(1.0),
    "connection failed (ConnectionError)": hostile.reset(),
}


@pytest.mark.parametrize("reason", PERMANENT)
def test_a_bad_answer_drops_the_object_for_good_with_its_reason(server, tmp_path, reason):
    fault, requests = PERMANENT[reason]
    server.faults[2] = fault
    report = run(server, tmp_path, 3)
    assert there(tmp_path) == [name(1), name(3)] and report["failed"]["count"] == 0
    assert report["dropped"]["objects"] == {name(2): reason.strip()}
    assert server.asked[2] == requests
    assert not list((tmp_path / "cutouts").glob(f"{name(2)}*.fits"))
    before = server.asked.copy()
    assert run(server, tmp_path, 3) == report
    assert server.asked == before
    del server.faults[2]
    assert run(server, tmp_path, 3, retry_dropped=True)["ok"] == 3


@pytest.mark.parametrize("reason", TRANSIENT)
def test_a_failing_server_loses_the_object_until_the_next_run(server, tmp_path, reason):
    server.faults[2] = TRANSIENT[reason]
    report = run(server, tmp_path, 3, network=IMPATIENT if reason == "timed out" else QUICK)
    assert there(tmp_path) == [name(1), name(3)] and report["dropped"]["count"] == 0
    assert report["failed"]["objects"] == {name(2): reason}
    assert server.asked[2] == 1 + QUICK.retries
    assert not list((tmp_path / "cutouts").glob(f"{name(2)}*"))
    del server.faults[2]
    assert run(server, tmp_path, 3)["ok"] == 3
    assert server.asked[1] == server.asked[3] == 1, "what had arrived was asked for again"


@pytest.mark.parametrize(
    ("fault", "network"),
    [
        (hostile.status(500, times=2), QUICK),
        (hostile.body(lambda _: hostile.HTML, times=2), QUICK),
        (hostile.truncated(times=2), QUICK),
        (hostile.stalled(1.0, times=1), IMPATIENT),
        (hostile.trickling(0.05, times=1), IMPATIENT),
        (hostile.reset(times=2), QUICK),
    ],
    ids=["500", "html", "truncated", "stalled", "trickling", "reset"],
)
def test_a_passing_trouble_costs_a_repeat_and_no_object(server, tmp_path, fault, network):
    server.faults[1] = fault
    assert run(server, tmp_path, 2, network=network)["ok"] == 2
    assert server.asked[1] > 1


def test_30_percent_of_zeros_is_still_good(server, tmp_path):
    server.faults[1] = hostile.body(zeros(0.30))
    assert run(server, tmp_path, 1)["ok"] == 1


@pytest.mark.parametrize("date", [False, True], ids=["seconds", "date"])
def test_retry_after_silences_all_workers(server, tmp_path, date):
    wait = email.utils.formatdate(time.time() + 2, usegmt=True) if date else "1"
    server.faults[1] = hostile.status(429, times=1, Retry_After=wait)
    server.delay = 0.02
    assert run(server, tmp_path, 30)["ok"] == 30
    gaps = np.diff(sorted(server.times))
    assert gaps.max() > 0.9
    # Requests under way when the server asked for quiet may still arrive: one for each of the four workers.
    assert np.argmax(gaps) < 8


def test_retry_after_is_capped_and_nonsense_in_it_is_ignored(server, tmp_path):
    server.faults[1] = hostile.status(503, times=1, Retry_After="86400")
    server.faults[2] = hostile.status(503, times=1, Retry_After="soon")
    start = time.monotonic()
    network = QUICK.model_copy(update={"retry_after_max": 0.2})
    assert run(server, tmp_path, 2, network=network)["ok"] == 2
    assert time.monotonic() - start < 5


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
    assert set(server.served.values()) == {1}


def test_a_folder_answers_one_request_only(server, tmp_path):
    run(server, tmp_path, 2)
    with pytest.raises(GalgenError, match=r"holds cut-outs of size 40, not 48"):
        run(server, tmp_path, 2, size=48)
    assert run(server, tmp_path, 3)["ok"] == 3, "a longer catalogue goes on"
    with pytest.raises(GalgenError, match=rf"holds object {name(3)} at 3.000000 0.300000"):
        run(server, tmp_path, 2)


def test_two_fetches_cannot_fill_one_folder(server, tmp_path):
    (tmp_path / "cutouts").mkdir()
    with (
        filelock.FileLock(tmp_path / "cutouts" / ".fetch.lock"),
        pytest.raises(GalgenError, match="another fetch is filling"),
    ):
        run(server, tmp_path, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": ()}, "bands"),
        ({"bands": ("g", "g")}, "bands"),
        ({"workers": 0}, "workers must be positive"),
        ({"sise": 40}, "sise: Extra inputs"),
        ({"size": -1}, "size: .*greater than 0"),
    ],
)
def test_bad_arguments_are_named(server, tmp_path, options, message):
    with pytest.raises(GalgenError, match=message):
        run(server, tmp_path, 1, **options)


@pytest.mark.parametrize("bad", [{"rate": 0}, {"timeout": -1}, {"retries": 0}, {"deadline": float("nan")}])
def test_a_network_without_sense_is_refused(bad):
    with pytest.raises(GalgenError, match=next(iter(bad))):
        checked(Network, bad, "fetch")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("http://host/?ra={ra}&dec={dec}", r"lacks the placeholders \['bands'\]"),
        ("http://host/?ra={ra}&dec={dec}&b={bands}&s={siez}", r"unknown placeholders \['siez'\]"),
        ("host/?ra={ra}&dec={dec}&b={bands}", "does not start with http"),
    ],
)
def test_a_bad_template_is_explained(tmp_path, template, message):
    with pytest.raises(GalgenError, match=message):
        fetch(catalogue(tmp_path, 1), tmp_path / "cutouts", template=template)


def test_bytes_that_trickle_in_without_end_are_cut_off_at_the_deadline(server, tmp_path):
    server.faults[1] = hostile.trickling(0.05)  # 11520 bytes would take ten minutes
    start = time.monotonic()
    report = run(server, tmp_path, 1, network=IMPATIENT)
    assert report["failed"]["objects"] == {name(1): "timed out"} and server.asked[1] == 3
    assert time.monotonic() - start < 10


def test_what_a_killed_writer_left_half_written_is_removed(server, tmp_path):
    server.faults[2] = hostile.status(404)
    report = run(server, tmp_path, 2)
    folder = tmp_path / "cutouts"
    (folder / ".tmp-12345.fits").write_bytes(b"half a cu")
    assert run(server, tmp_path, 2) == report
    assert not list(folder.glob(".tmp-*"))


def test_the_progress_bar_counts_what_was_there_before(server, tmp_path, capsys):
    run(server, tmp_path, 2)
    run(server, tmp_path, 4, progress=True)
    shown = capsys.readouterr().err
    assert "2/4" in shown and "4/4" in shown and "object/s" in shown


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
    count, kills = 150, 6
    path = catalogue(tmp_path, count)
    server.faults |= {
        5: hostile.status(404),
        20: hostile.body(nan),
        41: hostile.body(lambda _: hostile.HTML),
    }
    assert start(server, path, tmp_path / "whole").wait(30) == 0
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
    assert start(server, path, folder).wait(30) == 0
    assert state(folder) == state(tmp_path / "whole")
    assert len(files(folder)) == count - len(server.faults)
    assert len(settled) > kills
    for key, times in settled.items():
        assert server.asked[key] == times, f"{key} was asked for again"
    again = sum(times - 1 for times in server.served.values())
    assert again <= 4 * kills, "a kill may lose the downloads under way, one a worker"
