import ast
import gzip
import hashlib
import os
import pickle
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from astropy.io import fits
from PIL import Image
from test_anything import in_bounds

from galbook.press.runs import Run
from galgen.data.acquire.importing import import_images, imported, write_imported
from galgen.data.prepare import prepare
from galgen.data.preprocess import flux_to_gray
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError
from galgen.runs.files import file_sha256
from galgen.runs.store import Store

REAL = Path(os.environ.get("GALGEN_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real galaxies at {REAL} (GALGEN_REAL_DATA)")


def flux(n, *shape, seed=0):
    return np.random.default_rng(seed).normal(0.05, 0.3, (n, *shape)).astype(np.float32)


def display(n, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def write_fits(path, image, **header):
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(image, fits.Header(header)).writeto(path)


def save(path, images, **columns):
    if path.suffix == ".npy":
        np.save(path, images)
    elif path.suffix == ".npz":
        np.savez(path, images=images, **columns)
    else:
        with h5py.File(path, "w") as file:
            file["sky/images"] = images
            for name, column in columns.items():
                file[name] = column.astype(h5py.string_dtype()) if column.dtype.kind == "U" else column


# What is imported


def sets(name):
    """Writes a FITS file a band."""

    def write(folder, cubes):
        for i, cube in enumerate(cubes):
            for band, plane in zip("grz", cube, strict=True):
                write_fits(folder / name.format(id=i, band=band), plane)

    return write


def cubes_of_fits(folder, cubes):
    for i, cube in enumerate(cubes):
        write_fits(folder / f"{i}.fits", cube[[2, 0, 1]], BANDS="zgr")


def npy(folder, cubes):
    for i, cube in enumerate(cubes):
        np.save(folder / f"{i}.npy", cube)


def named(suffix, axis):
    """Writes an array of five named bands, of which three are wanted."""

    def write(folder, cubes):
        five = cubes[:, [0, 1, 0, 2, 1]]
        save(folder / f"a{suffix}", np.moveaxis(five, 1, axis), filters=np.array(list("gryzi")))
        return folder / f"a{suffix}"

    return write


NAMES = "{id}_{band}.fits {id}_{band}band.fits {id}-{band}.fit {band}/{id}.fits {band}band/{id}.fits.gz"
FORMS = {name: sets(name) for name in NAMES.split()} | {"cubes": cubes_of_fits, "npy": npy}
FORMS |= {"npz": named(".npz", 1), "h5, bands last": named(".h5", -1)}


@pytest.mark.parametrize("form", FORMS)
def test_flux_of_every_form_goes_through_the_one_preprocessing(tmp_path, form):
    cubes = flux(3, 3, 70, 80)
    path = FORMS[form](tmp_path, cubes) or tmp_path
    found = import_images(path, size=16, crop=32)
    assert np.array_equal(found.images, flux_to_gray(cubes, size=16, crop=32))
    assert list(found.catalogue["id"]) == ["0", "1", "2"]
    assert found.dropped == {} and found.parameters["kind"] == "flux"
    assert np.array_equal(import_images(path, size=32).images, flux_to_gray(cubes, size=32, crop=64))
    if form not in ("npy", "cubes"):
        two = import_images(path, size=32, bands=("g", "z")).images
        assert np.array_equal(two, flux_to_gray(cubes[:, [0, 2]], size=32, crop=64))


def test_what_the_header_says_of_an_object_is_kept_and_frames_may_differ_where_a_crop_is_given(tmp_path):
    small, large = flux(1, 1, 33, 35), flux(1, 1, 50, 41, seed=1)
    write_fits(tmp_path / "small.fits", small[0, 0], RA=12.5, DEC=-3.25, SURVEY="LS DR10 ")
    write_fits(tmp_path / "large.fits", large[0, 0], RA=0.5, DEC=1.0, SURVEY="LS DR10")
    found = import_images(tmp_path, size=16, crop=33, bands=list("r"))
    assert np.array_equal(found.images[0], flux_to_gray(large, size=16, crop=33)[0])
    known = {"id": "small", "file": "small.fits", "ra": 12.5, "dec": -3.25, "survey": "LS DR10"}
    assert dict(found.catalogue[1]) == known and found.parameters["surveys"] == ["LS DR10"]


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5"])
@pytest.mark.parametrize("layout", ["n H W", "n 1 H W", "n H W 1", "n 3 H W", "n H W 3"])
def test_display_images_of_every_layout_come_through_unchanged(tmp_path, suffix, layout):
    images = display(300, 8, 8)
    stored = {
        "n H W": images,
        "n 1 H W": images[:, None],
        "n H W 1": images[..., None],
        "n 3 H W": np.repeat(images[:, None], 3, axis=1),  # gray that was saved as colour
        "n H W 3": np.repeat(images[..., None], 3, axis=-1),
    }[layout]
    save(tmp_path / f"a{suffix}", stored)
    found = import_images(tmp_path / f"a{suffix}", size=8)
    assert np.array_equal(found.images, images[:, None])
    assert list(found.catalogue["id"][[0, 299]]) == ["0", "299"]


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_arrays_of_one_entry_an_image_become_columns(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    columns = {"ids": np.array(["b", "a", "ü"]), "z": np.array([0.1, 0.2, 0.3]), "other": np.arange(4)}
    save(path, display(3, 8, 8), **columns)
    found = import_images(path, size=8)
    assert found.catalogue.colnames == ["id", "file", "z"] and list(found.catalogue["z"]) == [0.1, 0.2, 0.3]
    dataset = write_imported(tmp_path / "set", found, source="a", manifest="local")
    assert list(dataset.catalogue["id"]) == ["b", "a", "ü"]


def test_floats_in_0_to_1_are_display_images_and_others_flux_unless_said(tmp_path):
    images = display(3, 16, 16)
    np.save(tmp_path / "a.npy", images / 255)
    assert np.array_equal(import_images(tmp_path / "a.npy", size=16).images, images[:, None])
    as_flux = import_images(tmp_path / "a.npy", size=16, crop=16, kind="flux", bands=list("r")).images
    assert np.array_equal(as_flux, flux_to_gray(images[:, None] / 255, size=16, crop=16))
    np.save(tmp_path / "b.npy", images / 255 - 0.1)
    assert import_images(tmp_path / "b.npy", size=16, crop=16, bands=list("r")).parameters["kind"] == "flux"
    with pytest.raises(GalgenError, match=r"b.npy.*must lie in \[0, 1\], not -0.1"):
        import_images(tmp_path / "b.npy", size=16, kind="display")


def test_the_sky_is_the_median_of_the_frame_of_each_band(tmp_path):
    cubes = flux(2, 3, 40, 40)
    cubes[:, :, 14:26, 14:26] += 5
    frame = np.ones((40, 40), bool)
    frame[4:36, 4:36] = False
    sky = np.median(cubes[..., frame], axis=-1)[..., None, None]
    np.save(tmp_path / "a.npy", cubes + np.array([100, 900, 3000], np.float32)[:, None, None])
    found = import_images(tmp_path / "a.npy", size=20, crop=20, subtract_sky=True)
    assert np.abs(found.images - flux_to_gray(cubes - sky, size=20, crop=20).astype(int)).max() <= 1
    with pytest.raises(GalgenError, match=r"a.npy\[0\]: saturated: the sky is still in it"):
        import_images(tmp_path / "a.npy", size=20, crop=20)


def test_pictures_are_imported_by_area_and_colour_only_on_request(tmp_path):
    gray, colour = display(1, 12, 12)[0], display(1, 12, 12, 3, seed=1)[0]
    Image.fromarray(gray).save(tmp_path / "a.png")
    Image.fromarray(np.dstack([gray, gray, gray, np.full_like(gray, 255)])).save(tmp_path / "b.PNG")
    assert np.array_equal(import_images(tmp_path, size=12).images, np.stack([gray] * 2)[:, None])
    Image.fromarray(colour).save(tmp_path / "c.jpeg", quality=95)
    with pytest.raises(GalgenError, match=r"c\.jpeg: the image is in colour.*--gray"):
        import_images(tmp_path, size=12)
    with pytest.raises(GalgenError, match=r"--gray.*option of galgen data import, and DATA the folder"):
        imported(tmp_path, 12).make(tmp_path / "made")
    with Image.open(tmp_path / "c.jpeg") as image:
        pixels = np.asarray(image).mean(axis=-1).reshape(4, 3, 4, 3).mean(axis=(1, 3))
    found = import_images(tmp_path, size=4, gray=True)
    assert np.abs(found.images[2, 0] - pixels).max() <= 0.51


# What is refused by name, while the rest is kept


def test_bad_objects_are_refused_by_name_and_the_others_kept(tmp_path):
    cubes = flux(8, 3, 32, 32)
    cubes[1, 0, 16, 16] = np.nan
    cubes[2] = 1e-9
    sets("{id}_{band}.fits")(tmp_path, cubes)
    whole = (tmp_path / "4_g.fits").read_bytes()
    for name in ("3_r", "4_g", "5_z", "6_g", "7_g"):
        (tmp_path / f"{name}.fits").unlink()
    (tmp_path / "4_g.fits").write_bytes(whole[:3500])
    (tmp_path / "5_z.fits").write_bytes(b"<html>Too many requests</html>" * 200)
    write_fits(tmp_path / "6_g.fits", flux(1, 31, 32)[0])
    fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])]).writeto(tmp_path / "7_g.fits")
    found = import_images(tmp_path, size=16, crop=31)
    assert list(found.catalogue["id"]) == ["0"]
    reasons = ["pixels not finite", "blank", "band r is missing", "damaged FITS file: 4_g.fits"]
    reasons += ["damaged FITS file: 5_z.fits", "the bands do not match", "no image in the FITS file"]
    for (name, told), number, reason in zip(found.refused, "1234567", reasons, strict=True):
        assert name == number and told.startswith(reason)
    assert found.dropped["damaged FITS file"] == 2 and sum(found.dropped.values()) == 7
    with pytest.raises(GalgenError, match=r"7 of 8 objects cannot be used\. 1: pixels not finite; 2: blank"):
        import_images(tmp_path, size=16, crop=31, strict=True)


def test_a_row_of_an_array_is_named_by_its_number_and_30_percent_of_zeros_are_kept(tmp_path):
    cubes = flux(300, 3, 10, 10)
    cubes[217, 2, 4, 4] = np.inf
    cubes[7, 1, :3], cubes[8, 1, :4] = 0, 0
    save(tmp_path / "a.h5", cubes)
    found = import_images(tmp_path / "a.h5", size=10, crop=10)
    assert found.refused == [("a.h5[8]", "more than 30% zeros"), ("a.h5[217]", "pixels not finite")]
    keep = np.delete(np.arange(300), [8, 217])
    assert np.array_equal(found.images, flux_to_gray(cubes[keep], size=10, crop=10))
    assert list(found.catalogue["id"]) == [str(i) for i in keep]


def test_damaged_pictures_and_npy_files_are_refused_by_name(tmp_path):
    for name in "ab":
        Image.fromarray(display(1, 64, 64)[0]).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:1000])
    assert [name for name, _ in import_images(tmp_path, size=64).refused] == ["b.png"]
    folder = tmp_path / "npy"
    folder.mkdir()
    for name, cubes in {"a": flux(3, 16, 16), "b": flux(1, 3, 16, 16), "c": flux(0, 0)}.items():
        np.save(folder / f"{name}.npy", cubes)
    refused = dict(import_images(folder, size=16, crop=16).refused)
    assert "not one image" in refused["b.npy"] and refused["c.npy"] == "empty: shape (0, 0)"


def test_a_pickle_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    (tmp_path / "a.npy").write_bytes(pickle.dumps(Bomb()))
    np.save(tmp_path / "b.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "c.npz", images=np.array([Bomb()], dtype=object))
    for name in ("a.npy", "b.npy", "c.npz"):
        with pytest.raises(GalgenError, match=rf"{name}.*Python objects"):
            import_images(tmp_path / name, size=8)
    assert not (tmp_path / "exploded").exists()


def test_a_picture_that_is_a_program_inside_is_refused_by_name_and_nothing_runs_it(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gs").write_text(f"#!/bin/sh\necho 10 > {tmp_path}/ran\n")
    (tmp_path / "bin" / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # looked for once a process
    page = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n8 8 scale\n%%EOF\n"
    a_file(tmp_path / "f" / "a.png", page.encode())
    a_file(tmp_path / "f" / "b.png", display(1, 8, 8)[0])
    assert [name for name, _ in import_images(tmp_path / "f", size=8).refused] == ["a.png"]
    assert not (tmp_path / "ran").exists()


def test_wherever_a_picture_is_opened_it_is_said_of_which_formats():
    root = Path(__file__).parents[1]
    calls = [
        (path.name, {keyword.arg for keyword in node.keywords})
        for room in ("galgen", "book", "benchmarks", "examples")
        for path in (root / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open"
    ]
    assert calls and not [name for name, keywords in calls if "formats" not in keywords]


# What is wrong with the whole


def a_file(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    elif path.suffix == ".fits":
        write_fits(path, content)
    elif path.suffix == ".png":
        Image.fromarray(content).save(path)
    else:
        save(path, content)
    return path


TWO = {"x": display(3, 8, 8), "y": display(2, 8, 8)}
NAMED = {"flux": flux(2, 3, 8, 8), "bands": np.array(["g", "r", "i"])}
FLUX = {"crop": 8}


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.npz", TWO, {}, r"several arrays of images .--key names.*'x' .3, 8, 8"),
        ("a.npz", TWO, {"key": "z"}, r"no array of images named 'z'.*'x' .3, 8, 8"),
        ("a.npz", {"x": np.arange(3)}, {}, "no array of images"),
        ("a.npz", NAMED, FLUX, r"a\.npz\[0\]: there is no band z, only g, r, i"),
        ("a.npy", flux(3, 8, 8) > 0, {}, "pixels are bool"),
        ("a.npy", display(3, 8, 8).astype(np.int32), {}, "pixels are int32.*--kind flux"),
        ("a.npy", display(3, 8, 8, 3), {}, "in colour.*--gray"),
        ("a.npy", display(3, 2, 8, 8), {}, "2 x 8 x 8, but a display image is to have 1 plane"),
        ("a.npy", flux(4, 5, 8, 8), FLUX, r"5 x 8 x 8, but flux is to have bands g, r, z \(--bands\)"),
        ("a.npy", 255 * flux(3, 8, 8), FLUX, r"floats that do not all lie in \[0, 1\] are taken for flux"),
        ("a.npy", display(3, 8, 9), {}, "8 x 9 pixels are not square; crop"),
        ("a.npy", display(3, 8, 8), {"kind": "flux"}, "8-bit pixels"),
        ("a.npy", display(3, 8, 8), {"subtract_sky": True}, "only flux has a sky"),
        ("a.npy", np.full((2, 8, 8), 7, np.uint8), {}, r"2 of 2 objects cannot be used. a.npy\[0\]: blank"),
        ("a.npy", b"", {}, r"a\.npy cannot be read"),
        ("f/notes.txt", b"no galaxies here", {}, "f holds no images"),
        ("f/a.png", display(1, 8, 8)[0], {"kind": "flux"}, "display images by its format"),
        ("f/a.png", display(1, 8, 8)[0].astype("u2"), {}, "more than 8 bits .*save it as 8 bits"),
        ("f/meta.json", b"{}", {}, "is a galgen data set already: use it as it is"),
        ("no/a.npy", b"", {"bands": ("r", "r")}, "bands: .*different"),
        ("no/a.npy", b"", {"strech": 1}, "strech: Extra inputs"),
    ],
)
def test_bad_input_is_named(tmp_path, name, content, options, message):
    path = a_file(tmp_path / name, content)
    with pytest.raises(GalgenError, match=message):
        import_images(path if path.parent == tmp_path else path.parent, **{"size": 8} | options)


def test_what_does_not_fit_together_in_a_folder_is_named(tmp_path):
    for name in ("a.png", "b.png"):
        a_file(tmp_path / name, display(1, 8 + (name == "b.png"), 8 + (name == "b.png"))[0])
    with pytest.raises(GalgenError, match=r"b\.png: .9, 9. pixels, but a\.png has .8, 8.; crop them .--crop"):
        import_images(tmp_path, size=8)
    a_file(tmp_path / "c.npy", display(1, 8, 8)[0])
    with pytest.raises(GalgenError, match=r"mixes picture files .a\.png. and npy files .c\.npy.; give"):
        import_images(tmp_path, size=8)
    for name in ("fits/7_g.fits", "fits/g/7.fits"):
        a_file(tmp_path / name, flux(1, 8, 8)[0])
    with pytest.raises(GalgenError, match=r"7_g\.fits and g/7\.fits are the same object and band"):
        import_images(tmp_path / "fits", size=8, crop=8, bands=list("g"))


# Too much for memory; what is damaged in any way is in test_anything.py


@pytest.mark.parametrize("colour", [False, True])
def test_an_import_holds_a_gray_set_twice_as_it_lies_in_the_file_and_as_stamps(tmp_path, colour):
    save(tmp_path / "a.npz", display(3000, 64, 64))
    tracemalloc.start()
    found = import_images(tmp_path / "a.npz", size=64, colour=colour)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.images.shape == (3000, 1 + 2 * colour, 64, 64)
    assert peak < 2.6 * 3000 * 64 * 64


def test_with_one_image_in_colour_all_have_three_channels(tmp_path):
    images = np.repeat(display(5, 8, 8, 1), 3, axis=-1)
    images[2, ..., 1] //= 2
    save(tmp_path / "a.npz", images)
    found = import_images(tmp_path / "a.npz", size=8, colour=True).images
    assert np.array_equal(found, np.moveaxis(images, -1, 1))


def test_of_images_that_memory_cannot_hold_one_is_read(tmp_path, monkeypatch):
    save(tmp_path / "a.npy", display(2000, 64, 64))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2**22))
    with pytest.raises(
        GalgenError, match="2000 images of 64 pixels a side need 8 MB of memory, and 4 MB are"
    ):
        import_images(tmp_path / "a.npy", size=64)
    assert len(import_images(tmp_path / "a.npy", size=16).images) == 2000


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz"])
def test_a_fits_file_of_headers_without_end_is_refused_in_little_memory(tmp_path, suffix):
    cards = [f"{name:8}= {value:>20}" for name, value in {"SIMPLE": "T", "BITPIX": 8, "NAXIS": 0}.items()]
    opened = gzip.open if suffix.endswith("gz") else open
    with opened(tmp_path / f"a_r{suffix}", "wb") as file:
        file.write("".join(card.ljust(80) for card in cards).encode() + b"COMMENT".ljust(80) * 500_000)
    tracemalloc.start()
    with pytest.raises(GalgenError, match="a: damaged FITS file: a header of more than 1 MB"):
        import_images(tmp_path, size=8, bands=["r"])
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_what_is_too_large_is_refused_by_its_header(tmp_path, monkeypatch):
    def of_hdf5(name, shape, kind, chunks):
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("x", shape, kind, chunks=chunks)  # never written: it takes no room

    of_hdf5("absurd.h5", (3, 2**20, 2**20), "u1", (1, 64, 64))
    of_hdf5("chunk.h5", (999, 999, 999), "f4", (900, 999, 999))
    of_hdf5("many.h5", (2**40, 8, 8), "u1", (9, 8, 8))
    np.savez_compressed(tmp_path / "bomb.npz", images=np.zeros((1000, 64, 64), np.uint8))
    header = {"SIMPLE": "T", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 99999, "NAXIS2": 99999}
    cards = "".join(f"{name:8}= {value:>20}".ljust(80) for name, value in header.items()) + "END"
    a_file(tmp_path / "fits" / "a_r.fits", cards.ljust(2880).encode())
    os.truncate(tmp_path / "fits" / "a_r.fits", 2880 * 3_472_154)  # sparse
    np.lib.format.open_memmap(a_file(tmp_path / "npy" / "a.npy", b""), "w+", "u1", (99999, 99999))
    a_file(tmp_path / "png" / "a.png", np.zeros((9000, 9000), np.uint8))
    monkeypatch.setattr("galgen.data.acquire.limits.MAX_UNPACKED", 4_000_000)
    for name, said in {
        "absurd.h5": "images are too large: 1048576 x 1048576 pixels",
        "chunk.h5": "a piece of 'x' unpacks to 3593 MB, more than 4",
        "many.h5": "has 1099511627776 images, more than 4194304",
        "bomb.npz": "unpacks to 4 MB, more than 4",
        "fits": "too large: 99999 x 99999 pixels",
        "npy": "too large: 99999 x 99999 pixels",
        "png": "too large: 9000 x 9000 pixels",
    }.items():
        with pytest.raises(GalgenError, match=said):
            import_images(tmp_path / name, size=8, bands=["r"])


def test_of_millions_of_images_that_were_never_written_a_thousand_are_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (2**21, 8, 8), "u1", chunks=(9, 8, 8))
    with pytest.raises(
        GalgenError, match=r"1000 of the first 1000 objects cannot be used\. a\.h5\[0\]: blank"
    ):
        import_images(tmp_path / "a.h5", size=8)


def test_folders_behind_symbolic_links_are_read_once_and_pipes_passed_by(tmp_path):
    for folder in ("elsewhere", "images"):
        (tmp_path / folder).mkdir()
    a_file(tmp_path / "elsewhere" / "a.png", display(1, 8, 8)[0])
    os.mkfifo(tmp_path / "elsewhere" / "b.png")
    (tmp_path / "images" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "images")
    assert list(import_images(tmp_path / "images", size=8).catalogue["id"]) == ["link/a"]


# Names first


def test_of_a_folder_the_images_are_hashed_and_what_lies_beside_them_is_left_alone(tmp_path):
    for name in ("b.png", "deep/a.png"):
        a_file(tmp_path / name, display(1, 8, 8)[0])
    lines = [f"{name} {file_sha256(tmp_path / name)}" for name in ("b.png", "deep/a.png")]
    known = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert imported(tmp_path, 8).data == known
    (tmp_path / "run.log").write_text("a line")
    (tmp_path / "a.iso").touch()
    os.truncate(tmp_path / "a.iso", 2**40)  # sparse: to read it takes an hour
    assert imported(tmp_path, 8).data == known


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.h5", "a.iso"])
def test_a_file_that_is_none_of_images_is_not_read_to_its_end(tmp_path, name):
    (tmp_path / name).touch()
    os.truncate(tmp_path / name, 2**40)
    with pytest.raises(GalgenError, match=name):
        imported(tmp_path / name, 8)


def test_what_is_no_set_of_images_is_refused_whoever_asks(tmp_path):
    os.mkfifo(tmp_path / "fifo.npz")
    many = tmp_path / "many"
    many.mkdir()
    for k in range(20_001):
        (many / str(k)).touch()
    a_file(many / "z" / "a.png", display(1, 8, 8)[0])
    asking = {
        "import": lambda path: import_images(path, size=8),
        "a job": lambda path: prepare(Store(tmp_path), path, size=8, crop=8, count=1),
        "make": lambda path: Run(Parameters(profile="smoke", data=path)).check_data(),
    }
    for place in (tmp_path / "fifo.npz", many, Path("/dev/zero"), Path("/proc")):
        for ask in asking.values():
            with in_bounds(20), pytest.raises(GalgenError, match=f"{place}'? (is n|holds|mixes)"):
                ask(str(place))


def test_pixels_that_lie_in_other_files_are_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(range(192)))
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file.create_dataset("x", (3, 8, 8), "u1", external=[(str(tmp_path / "secret"), 0, 192)])
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((3, 8, 8), "u1")
        layout[:] = h5py.VirtualSource("external.h5", "x", (3, 8, 8))
        file.create_virtual_dataset("x", layout)
    for name in ("external.h5", "virtual.h5"):
        with pytest.raises(GalgenError, match=f"{name}, 'x' lies in other files"):
            import_images(tmp_path / name, size=8)


def test_an_infinite_pixel_does_not_make_flux_of_display_images(tmp_path):
    images = display(3, 8, 8) / 255
    images[1, 4, 4] = np.inf
    np.save(tmp_path / "a.npy", images)
    found = import_images(tmp_path / "a.npy", size=8)
    assert found.parameters["kind"] == "display"
    assert found.refused == [("a.npy[1]", "pixels not finite")]


# Real galaxies


@real
def test_the_real_galaxies_come_with_their_ids_and_pixels():
    with np.load(REAL / "sdss_real_9200_64.npz") as archive:
        pixels, ids = archive["images"], archive["ids"]
    found = import_images(REAL / "sdss_real_9200_64.npz", size=32)
    assert found.images.shape == (9200, 1, 32, 32) and list(found.catalogue["id"]) == list(ids)
    blocks = pixels[::100].reshape(92, 32, 2, 32, 2).mean(axis=(2, 4))
    assert np.abs(found.images[::100, 0] - blocks).max() <= 0.5
    assert all("SDSS" in survey for survey in found.parameters["surveys"])
