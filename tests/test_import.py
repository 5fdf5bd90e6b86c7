import hashlib
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from galgen.data.acquire.importing import import_images, imported, write_imported
from galgen.data.preprocess import flux_to_gray
from galgen.runs.errors import GalgenError
from galgen.runs.files import file_sha256

REAL = Path(os.environ.get("GALGEN_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real galaxies at {REAL} (GALGEN_REAL_DATA)")


def flux(n, *shape, seed=0):
    return np.random.default_rng(seed).normal(0.05, 0.3, (n, *shape)).astype(np.float32)


def display(n, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def save(path, content, **more):
    """Write a file of the kind that its name says; more is columns of arrays, or a header of FITS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif ".fit" in path.name:
        fits.PrimaryHDU(content, fits.Header(more)).writeto(path)
    elif path.suffix == ".npy":
        np.save(path, content)
    elif path.suffix == ".npz":
        np.savez(path, images=content, **more)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["sky/images"] = content
            for name, column in more.items():
                file[name] = column.astype(h5py.string_dtype()) if column.dtype.kind == "U" else column
    else:
        Image.fromarray(content).save(path)
    return path


# What is imported


def sets(name):
    """Writes a FITS file a band."""

    def write(folder, cubes):
        for i, cube in enumerate(cubes):
            for band, plane in zip("grz", cube, strict=True):
                save(folder / name.format(id=i, band=band), plane)

    return write


def cubes_of_fits(folder, cubes):
    for i, cube in enumerate(cubes):
        save(folder / f"{i}.fits", cube[[2, 0, 1]], BANDS="zgr")


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
    save(tmp_path / "small.fits", small[0, 0], RA=12.5, DEC=-3.25, SURVEY="LS DR10 ")
    save(tmp_path / "large.fits", large[0, 0], RA=0.5, DEC=1.0, SURVEY="LS DR10")
    found = import_images(tmp_path, size=16, crop=33, bands=list("r"))
    assert np.array_equal(found.images[0], flux_to_gray(large, size=16, crop=33)[0])
    known = {"id": "small", "file": "small.fits", "ra": 12.5, "dec": -3.25, "survey": "LS DR10"}
    assert dict(found.catalogue[1]) == known and found.parameters["surveys"] == ["LS DR10"]


LAYOUTS = {
    "n H W": lambda images: images,
    "n 1 H W": lambda images: images[:, None],
    "n H W 1": lambda images: images[..., None],
    "n 3 H W": lambda images: np.repeat(images[:, None], 3, axis=1),  # gray that was saved as color
    "n H W 3": lambda images: np.repeat(images[..., None], 3, axis=-1),
}


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_display_images_of_every_layout_come_through_unchanged(tmp_path, suffix, layout):
    images = display(300, 8, 8)
    save(tmp_path / f"a{suffix}", LAYOUTS[layout](images))
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
    save(tmp_path / "inf.npy", np.concatenate([images / 255, np.full((1, 16, 16), np.inf)]))
    found = import_images(tmp_path / "inf.npy", size=16)
    assert found.parameters["kind"] == "display" and found.refused == [("inf.npy[3]", "pixels not finite")]
    as_flux = import_images(tmp_path / "a.npy", size=16, crop=16, kind="flux", bands=list("r")).images
    assert np.array_equal(as_flux, flux_to_gray(images[:, None] / 255, size=16, crop=16))
    np.save(tmp_path / "b.npy", images / 255 - 0.1)
    assert import_images(tmp_path / "b.npy", size=16, crop=16, bands=list("r")).parameters["kind"] == "flux"
    clipped = import_images(tmp_path / "b.npy", size=16, kind="display").images[:, 0]
    assert np.array_equal(clipped, np.rint(255 * (images / 255 - 0.1).clip(0, 1)))
    np.save(tmp_path / "c.npy", images.astype(float))
    with pytest.raises(GalgenError, match=r"c.npy.*must lie in \[-0.5, 1.5\], not 0 to 2"):
        import_images(tmp_path / "c.npy", size=16, kind="display")


def test_the_sky_is_the_median_of_the_frame_of_each_band(tmp_path):
    cubes = flux(2, 3, 40, 40)
    cubes[:, :, 14:26, 14:26] += 5
    frame = np.ones((40, 40), bool)
    frame[4:36, 4:36] = False
    sky = np.median(cubes[..., frame], axis=-1)[..., None, None]
    np.save(tmp_path / "a.npy", cubes + np.array([100, 900, 3000], np.float32)[:, None, None])
    found = import_images(tmp_path / "a.npy", size=20, crop=20, subtract_sky=True)
    assert np.abs(found.images - flux_to_gray(cubes - sky, size=20, crop=20).astype(int)).max() <= 1
    with pytest.raises(GalgenError, match=r"a.npy\[0\]: saturated: sky not subtracted"):
        import_images(tmp_path / "a.npy", size=20, crop=20)


def test_pictures_are_imported_by_area_and_color_only_on_request(tmp_path):
    gray, color = display(1, 12, 12)[0], display(1, 12, 12, 3, seed=1)[0]
    Image.fromarray(gray).save(tmp_path / "a.png")
    Image.fromarray(np.dstack([gray, gray, gray, np.full_like(gray, 255)])).save(tmp_path / "b.PNG")
    assert np.array_equal(import_images(tmp_path, size=12).images, np.stack([gray] * 2)[:, None])
    Image.fromarray(color).save(tmp_path / "c.tif")
    Image.fromarray(color).save(tmp_path / "d.jpeg", quality=95)
    with pytest.raises(GalgenError, match=r"c\.tif: the image is in color.*--gray"):
        import_images(tmp_path, size=12)
    small = import_images(tmp_path, size=4, gray=True).images[:, 0]
    assert np.abs(small[2] - color.mean(axis=-1).reshape(4, 3, 4, 3).mean(axis=(1, 3))).max() <= 0.51
    assert np.abs(small[3].astype(int) - small[2]).max() < 40, "JPEG loses some of it"
    found = import_images(tmp_path, size=12, colour=True).images
    assert np.array_equal(found[2], np.moveaxis(color, -1, 0)) and (found[0] == gray).all()


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
    save(tmp_path / "6_g.fits", flux(1, 31, 32)[0])
    fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])]).writeto(tmp_path / "7_g.fits")
    found = import_images(tmp_path, size=16, crop=31)
    assert list(found.catalogue["id"]) == ["0"]
    reasons = ["pixels not finite", "blank", "band r is missing", "the file cannot be read (File may have"]
    reasons += ["the file cannot be read (No SIMPLE", "the file cannot be read", "no image in the FITS file"]
    for (name, told), number, reason in zip(found.refused, "1234567", reasons, strict=True):
        assert name == number and told.startswith(reason)
    assert found.dropped["the file cannot be read"] == 3 and sum(found.dropped.values()) == 7
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
    whole = save(tmp_path / "png" / "a.png", display(1, 64, 64)[0]).read_bytes()
    save(tmp_path / "png" / "b.png", whole[:1000])
    for name, content in {"a": flux(3, 16, 16), "b": flux(1, 3, 16, 16), "c": flux(0, 0)}.items():
        save(tmp_path / "npy" / f"{name}.npy", content)
    assert [name for name, _ in import_images(tmp_path / "png", size=64).refused] == ["b.png"]
    refused = import_images(tmp_path / "npy", size=16, crop=16).refused
    assert [(name, reason[:13]) for name, reason in refused] == [
        ("b.npy", "not one image"),
        ("c.npy", "not one image"),
    ]


def test_a_pickle_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    (tmp_path / "a.npy").write_bytes(pickle.dumps(Bomb()))
    np.save(tmp_path / "b.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "c.npz", images=np.array([Bomb()], dtype=object))
    for name in ("a.npy", "b.npy", "c.npz"):
        with pytest.raises(GalgenError, match=rf"{name} cannot be read .*(pickle|Python objects)"):
            import_images(tmp_path / name, size=8)
    assert not (tmp_path / "exploded").exists()


def test_a_picture_that_is_a_program_inside_is_refused_by_name_and_nothing_runs_it(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gs").write_text(f"#!/bin/sh\necho 10 > {tmp_path}/ran\n")
    (tmp_path / "bin" / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # looked for once a process
    page = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n8 8 scale\n%%EOF\n"
    save(tmp_path / "f" / "a.png", page.encode())
    save(tmp_path / "f" / "b.png", display(1, 8, 8)[0])
    assert [name for name, _ in import_images(tmp_path / "f", size=8).refused] == ["a.png"]
    assert not (tmp_path / "ran").exists()


BAD = [
    ("a.npz", display(3, 8, 8), {"key": "z"}, r"no arrays of images.*'images' .3, 8, 8"),
    ("a.npy", display(3, 8, 8).astype(np.int32), {}, "pixels are int32.*--kind"),
    ("a.npy", display(3, 8, 8), {"kind": "flux"}, "pixels are uint8.*--kind"),
    ("a.npy", display(3, 2, 8, 8), {}, "2 x 8 x 8, but display images have 1 plane or 3"),
    ("a.npy", flux(4, 5, 8, 8), {"crop": 8}, r"5 x 8 x 8, but the bands are g, r, z \(--bands"),
    ("a.npy", display(3, 8, 9), {}, "8 x 9 pixels are not square; crop"),
    ("a.npy", display(3, 8, 8), {"subtract_sky": True}, "only flux has a sky"),
    ("a.npy", np.full((2, 8, 8), 7, np.uint8), {}, r"2 of 2 objects cannot be used. a.npy\[0\]: blank"),
    ("a.npy", b"", {}, r"a\.npy cannot be read \(No data left in file\); give another file"),
    ("f/notes.txt", b"no galaxies here", {}, "f has no images"),
    ("f/a.png", display(1, 8, 8)[0].astype("u2"), {}, "more than 8 bits .*save it as 8 bits"),
    ("no/a.npy", b"", {"bands": ("r", "r")}, "bands: .*different"),
    ("no/a.npy", b"", {"strech": 1}, "strech: Extra inputs"),
]


@pytest.mark.parametrize(("name", "content", "options", "message"), BAD)
def test_bad_input_is_named(tmp_path, name, content, options, message):
    path = save(tmp_path / name, content)
    with pytest.raises(GalgenError, match=message):
        import_images(path if path.parent == tmp_path else path.parent, **{"size": 8} | options)


def test_arrays_that_are_not_told_apart_are_named(tmp_path):
    save(tmp_path / "two.npz", display(3, 8, 8), y=display(2, 8, 8))
    with pytest.raises(GalgenError, match=r"2 arrays.*--key names one.*'images' .3, 8, 8"):
        import_images(tmp_path / "two.npz", size=8)
    assert len(import_images(tmp_path / "two.npz", size=8, key="y").images) == 2
    save(tmp_path / "gri.npz", flux(2, 3, 8, 8), bands=np.array(list("gri")))
    with pytest.raises(GalgenError, match=r"gri\.npz\[0\]: there is no band z, only g, r, i"):
        import_images(tmp_path / "gri.npz", size=8, crop=8)


def test_what_does_not_fit_together_in_a_folder_is_named(tmp_path):
    for name in ("a.png", "b.png"):
        save(tmp_path / name, display(1, 8 + (name == "b.png"), 8 + (name == "b.png"))[0])
    with pytest.raises(GalgenError, match=r"b\.png: .9, 9. pixels, but the first image has .8, 8. .--crop"):
        import_images(tmp_path, size=8)
    save(tmp_path / "c.npy", display(1, 8, 8)[0])
    with pytest.raises(GalgenError, match=r"picture files .a\.png. and npy files .c\.npy.; give"):
        import_images(tmp_path, size=8)
    for name in ("fits/7_g.fits", "fits/g/7.fits"):
        save(tmp_path / name, flux(1, 8, 8)[0])
    with pytest.raises(GalgenError, match=r"7_g\.fits and g/7\.fits are the same object and band"):
        import_images(tmp_path / "fits", size=8, crop=8, bands=list("g"))


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", images=np.zeros((1000, 64, 64), np.uint8))
    (tmp_path / "fits").mkdir()
    fits.CompImageHDU(np.zeros((2000, 2000), np.uint8)).writeto(tmp_path / "fits" / "a_r.fits.fz")
    monkeypatch.setattr("galgen.data.acquire.readers.MAX_UNPACKED", 3_000_000)
    for name in ("bomb.npz", "fits"):
        with pytest.raises(GalgenError, match="unpacks to more than 3 MB"):
            import_images(tmp_path / name, size=8, bands=["r"])


def test_a_picture_beyond_the_limit_of_pillow_is_refused(tmp_path, monkeypatch):
    save(tmp_path / "f" / "a.png", display(1, 40, 40)[0])
    save(tmp_path / "f" / "b.png", display(1, 8, 8)[0])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    ((name, reason),) = import_images(tmp_path / "f", size=8).refused
    assert name == "a.png" and "exceeds limit of 1000 pixels" in reason


def test_of_a_folder_the_images_are_hashed_and_what_lies_beside_them_is_left_alone(tmp_path):
    for name in ("b.png", "deep/a.png"):
        save(tmp_path / name, display(1, 8, 8)[0])
    lines = [f"{name} {file_sha256(tmp_path / name)}" for name in ("b.png", "deep/a.png")]
    known = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    (tmp_path / "run.log").write_text("a line")
    os.mkfifo(tmp_path / "deep" / "c.png")
    assert imported(tmp_path, 8).data == known
    assert list(import_images(tmp_path, size=8).catalogue["id"]) == ["b", "deep/a"]


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
