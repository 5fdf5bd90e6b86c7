"""Trained models asked by their names: samples in files, an image denoised."""

import os
import shutil

import h5py
import numpy as np
import pytest
import torch
from astropy.io import fits
from conftest import floats
from PIL import Image

import galgen
from galgen.cli import main
from galgen.compare.denoising import denoising_curve, psnr
from galgen.compare.similarity import cosine
from galgen.data.acquire.importing import import_images
from galgen.models.families import FAMILIES
from galgen.models.sampling import noise, seeded
from galgen.profiles import Parameters
from galgen.published import publish
from galgen.runs.errors import GalgenError
from galgen.using.opening import opened

OF_SMOKE = ["--profile", "smoke", "--N", "12"]


@pytest.fixture(scope="module")
def folder(smoke, tmp_path_factory):
    """A published set of both models of each family."""
    folder = tmp_path_factory.mktemp("published")
    for experiment in smoke.values():
        for training in experiment.models.pair(12):
            publish(experiment, training, folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_are_those_of_the_book_bit_for_bit_and_of_published_weights_nearly(family, smoke, folder):
    book = smoke[family]
    wanted = book.samples(book.models.pair(12)[1], count=8)
    asked = {"n": 8, "profile": "smoke", "N": 12}
    found = galgen.sample(f"{family}-N12-B", store=book.store.root, **asked)
    assert found.dtype == np.float32 and np.array_equal(found, wanted[:, 0].numpy())
    nearly = torch.from_numpy(galgen.sample(f"{family}-N12-B1-1", n=8, models=folder))
    assert cosine(nearly[:, None], wanted, kind="raw").min() > 0.999
    later = galgen.sample(f"{family}-N12-B", n=3, first=5, models=folder)
    assert np.allclose(later, nearly[5:], atol=1e-4) and not np.allclose(
        later, galgen.sample(f"{family}-N12-B", n=3, seed=1, models=folder)
    )


def test_a_file_of_weights_is_the_model_also_of_a_milestone_and_taken_away(smoke, folder, tmp_path):
    book = smoke["diffusion"]
    training = book.models.pair(12)[0]
    run, asked = book.train(training), Parameters(profile="smoke", N=12)
    early = run.path / f"weights-{run.summary['weights'][0]}.safetensors"
    wanted = book.family.draw(book.networks(training, run.summary["weights"][0]), range(4), book.images.start)
    found = opened(str(early), asked)
    assert found.name == training.name and "weights-" in found.origin
    assert np.array_equal(galgen.sample(early, n=4, profile="smoke", N=12), wanted[:, 0].numpy())
    with pytest.raises(GalgenError, match=r"is of another book than that of --profile smoke .*--seed 1"):
        opened(str(early), asked.model_copy(update={"seed": 1}))
    (published,) = (path for path in folder.glob("diffusion/*/weights-*") if "A0" in str(opened(str(path))))
    shutil.copy(published, tmp_path / "mine.safetensors")
    one, other = (galgen.sample(path, n=4) for path in (published, tmp_path / "mine.safetensors"))
    assert np.array_equal(one, other)


def test_an_audit_of_npz_fits_and_png_gives_the_same_numbers(smoke, folder, tmp_path, capsys):
    book = smoke["gan"]
    np.save(tmp_path / "train.npy", book.images.of(book.models.pair(12)[0]))
    np.save(tmp_path / "held-out.npy", book.images.held_out)
    reports = []
    for out in ("a.npz", "a.fits", "folder", "a.npy"):
        asked = ["gan-N12-A", "-n", "24", "--models", str(folder), "--out", str(tmp_path / out)]
        assert main(["sample", *asked]) == 0
        sets = {
            "samples": tmp_path / out,
            "train": tmp_path / "train.npy",
            "held-out": tmp_path / "held-out.npy",
        }
        options = [f"--{name}={path}" for name, path in sets.items()]
        assert main(["audit", *options, "--morphology", "0", "--out", str(tmp_path / "report")]) == 0
        said = capsys.readouterr().out
        assert "gan-N12-A0-0" not in said
        reports.append((tmp_path / "report.json").read_text().partition('"names"')[0])
    assert len(set(reports)) == 1 and "memory" in reports[0]


def test_a_header_says_what_was_drawn_and_the_importer_takes_it_for_no_flux(folder, tmp_path):
    out = tmp_path / "a.fits"
    assert (
        main(["sample", "glow-N12-A", "-n", "3", "--first", "2", "--models", str(folder), "--out", str(out)])
        == 0
    )
    with fits.open(out) as file:
        header, pixels = file[0].header, file[0].data
    assert header["MODEL"] == "glow-N12-A0-0" and len(header["MODELKEY"]) == 16
    assert header["STRETCH"] == "display: black 0, white 1" and pixels.shape == (3, 16, 16)
    found = import_images(out, size=16)
    assert list(found.catalogue["id"]) == ["2", "3", "4"] and found.parameters["kind"] == "display"
    assert np.array_equal(found.images[:, 0], np.rint(pixels.clip(0, 1) * 255))
    with pytest.raises(GalgenError, match="by its own path"):  # among FITS of flux
        import_images(tmp_path, size=16, crop=16)
    fits.PrimaryHDU(pixels).writeto(tmp_path / "flux.fits")
    with pytest.raises(GalgenError, match="is FITS, and so flux"):
        import_images(tmp_path / "flux.fits")


def test_models_are_listed_where_there_are_some(smoke, folder, tmp_path, monkeypatch, capsys):
    store = str(smoke["gan"].store.root)
    assert main(["models", "--models", str(folder), "--store", store]) == 0
    said = capsys.readouterr().out
    assert said.count(" published ") == 2 * len(FAMILIES) and "gan-N12-A0-0                  trained" in said
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "store"))
    assert main(["models"]) == 0
    nothing = capsys.readouterr()
    assert not nothing.out and "no models are published in" in nothing.err and "--models" in nothing.err
    assert main(["sample", "diffusion-N4000-A", "--out", "x.npz"]) == 2
    assert "stand in a checkout of galgen, or name a folder" in capsys.readouterr().err


def test_the_sheet_shows_every_sample(folder, tmp_path):
    sheet = tmp_path / "grid.png"
    assert main(["sample", "gan-N12-A", "-n", "5", "--models", str(folder), "--sheet", str(sheet)]) == 0
    with Image.open(sheet) as picture:
        width, height = picture.size
        grays = np.asarray(picture.convert("L"))
    assert width > 3 * height > 100 and len(np.unique(grays)) > 20


def noisy(images, sigma):
    """Images uint8 (n, 1, H, W) with noise of the seeds 0 to n - 1, (n, H, W)."""
    z = noise(seeded(range(len(images))), images.shape[1:])
    return (images / 255 + sigma * z.numpy()).astype(np.float32)[:, 0]


@pytest.mark.parametrize("family", ["diffusion", "conditional"])
def test_an_image_is_denoised_as_in_the_chapter(family, smoke, folder, tmp_path, capsys):
    book, known = smoke[family], smoke[family].images.held_out
    networks = book.networks(book.models.pair(12)[0])
    curve = denoising_curve(book.family.denoiser(networks), known, [0.2])
    np.save(tmp_path / "noisy.npy", noisy(known, 0.2))
    np.save(tmp_path / "clean.npy", known)
    asked = {"store": book.store.root, "profile": "smoke", "N": 12, "sigma": 0.2}
    found = galgen.denoise(noisy(known, 0.2), f"{family}-N12-A", **asked)
    seen = psnr(torch.from_numpy(found.mean)[:, None], floats(known)).numpy()
    assert np.allclose(seen, curve.denoised[0], atol=1e-4)
    assert np.allclose(found.mean + found.residual, found.noisy, atol=1e-6)
    files = ["noisy.npy", "--clean", "clean.npy", "--out", "x.npz", "--sheet", "x.png"]
    files = [str(tmp_path / each) if "." in each else each for each in files]
    model = [f"--model={family}-N12-A", f"--store={book.store.root}", *OF_SMOKE]
    assert main(["denoise", *files, *model, "--sigma", ".2"]) == 0
    said, kept = capsys.readouterr().out, np.load(tmp_path / "x.npz")
    assert f"{curve.denoised.mean():.4g}" in said.splitlines()[-1] and "image" in said
    assert np.array_equal(kept["images"], found.mean) and np.array_equal(kept["sigma"], found.sigma)
    assert (tmp_path / "x.png").stat().st_size > 1000


def test_the_noise_that_is_found_is_the_length_of_the_residual_of_the_blind_network(smoke):
    book, y = smoke["diffusion"], noisy(smoke["diffusion"].images.held_out, 0.3)
    found = galgen.denoise(y, "diffusion-N12-A", store=book.store.root, profile="smoke", N=12)
    f = book.networks(book.models.pair(12)[0])["net"](torch.from_numpy(y)[:, None]).detach()
    assert np.allclose(found.sigma, f.square().mean((1, 2, 3)).sqrt(), rtol=1e-5)
    one = galgen.denoise(y[0], "diffusion-N12-A", store=book.store.root, profile="smoke", N=12)
    assert one.mean.shape == (1, 16, 16) and np.allclose(one.mean, found.mean[:1], atol=1e-6)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".npy", ".npz", ".fits", ".h5"])
def test_images_of_any_kind_of_file_are_denoised(suffix, smoke, folder, tmp_path):
    image, path = smoke["gan"].images.held_out[0, 0], tmp_path / f"image{suffix}"
    if suffix in (".png", ".jpg"):
        Image.fromarray(image).convert("RGB").save(path)
    elif suffix == ".fits":
        header = fits.Header({"STRETCH": "display: black 0, white 1"})
        fits.PrimaryHDU(np.float32(image / 255), header).writeto(path)
    elif suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["images"] = image[None] / 255
    else:
        (np.save if suffix == ".npy" else np.savez)(path, image if suffix == ".npy" else image[None])
    out = tmp_path / "out.fits"
    assert main(["denoise", str(path), "--model=diffusion-N12-A", f"--models={folder}", f"--out={out}"]) == 0
    wanted = galgen.denoise(image, "diffusion-N12-A", models=folder).mean
    with fits.open(out) as file:
        assert np.allclose(file[0].data, wanted, atol=0.1 if suffix == ".jpg" else 1e-6)
        assert [hdu.name for hdu in file[1:]] == ["RESIDUAL", "SIGMA"]
    assert import_images(out, size=16).images.shape == (1, 1, 16, 16)


BAD = {
    "size": (
        np.zeros((24, 24)),
        "24 x 24 pixels, and diffusion-N12-A0-0 was trained on 16 x 16",
    ),
    "NaN": (np.full((16, 16), np.nan), "1 of 1 images have pixels that are not finite"),
    "colour": (np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8), "is in colour"),
    "scale": (np.random.default_rng(0).normal(0, 99, (16, 16)), "finds noise of"),
    "bytes": (np.zeros((16, 16), np.int64), "pixels are int64"),
}
GIVEN = {
    "good.npy --sigma 1.5": "was trained on noise of 0 to 1, and 1.5 is not within",
    "good.npy --sigma much": "--sigma much: say auto, or the noise",
    "good.npy --sigma nan": "--sigma nan: say auto",
    "good.npy --model conditional-N12-A": "is told the noise and finds none",
    "good.npy --model conditional-N12-A --sigma 16": "noise of 0.005 to 15, and 16 is not",
    "good.npy --model glow-N12-A": "Glow models denoise nothing",
    "good.npy --model nothing": "there is no model 'nothing'",
    "good.npy --out good.npy": "give a name like *.npz, *.fits",
    "good.npy --out there.npz": "exists already",
    "good.npy --clean two.npy": "2 clean images are not those of 1",
    "nothing.npy": "is no file",
    "flux.fits": "is FITS, and so flux",
    "pipe.npy": "is no file",
    "damaged.png": "damaged.png cannot be read (cannot identify image file",
}


@pytest.mark.parametrize("asked", [*BAD, *GIVEN])
def test_what_cannot_be_denoised_is_one_line_and_exit_code_2(asked, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    array, message = BAD.get(asked, (None, GIVEN.get(asked)))
    if asked in BAD:
        Image.fromarray(array).save("bad.png") if asked == "colour" else np.save("bad.npy", array)
    np.save("good.npy", np.full((16, 16), 0.3))
    np.save("two.npy", np.full((2, 16, 16), 0.3))
    np.savez("there.npz", images=np.zeros((3, 16, 16)))
    fits.PrimaryHDU(np.zeros((16, 16))).writeto("flux.fits")
    os.mkfifo("pipe.npy")
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    before = sorted(tmp_path.iterdir())
    bad = "bad.png" if asked == "colour" else "bad.npy"
    given = asked.split() if asked in GIVEN else [bad]
    given += [] if "--model" in asked else ["--model", "diffusion-N12-A"]
    given += [] if "--out" in asked else ["--out", "x.npz"]
    assert main(["denoise", *given, "--models", str(folder)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("galgen: error: ") and message in error
    assert sorted(tmp_path.iterdir()) == before


MISTAKES = {
    "gan-N12-C --out x.npz": "there is no model 'gan-N12-C', trained or published; published in",
    "gan-N500-A --out x.npz": "gan-N12-A0-0, gan-N12-B1-1",
    "gan-N12-A": "nothing is to be written",
    "gan-N12-A --out x.tif": "give a name like *.npz, *.npy, *.fits, or a folder",
    "gan-N12-A --out there.npz": "there.npz exists already",
    "gan-N12-A --sheet there.npz": "give a name like *.png",
    "gan-N12-A --out x.npz -n 0": "ask for one or more",
    "gan-N12-A --out x.npz --first -1": "ask for one or more",
    "gan-N12-A --out x.npz --seed -1": "seed: Input should be",
    "gan-N12-A --out x.npz --store nowhere": "nowhere is no folder, and so no run store",
    "there.npz --out x.npz": "holds no published model of any profile",
}


@pytest.mark.parametrize("asked", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(asked, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("there.npz", images=np.zeros((3, 16, 16)))
    models = [] if "--store" in asked else ["--models", str(folder)]
    assert main(["sample", *asked.split(), *models]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("galgen: error: ") and MISTAKES[asked] in error
    assert [path.name for path in tmp_path.iterdir()] == ["there.npz"]
