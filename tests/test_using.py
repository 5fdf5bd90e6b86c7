"""Trained models asked by their names: samples in files, an image denoised."""

import shutil

import numpy as np
import pytest
import torch
from astropy.io import fits
from PIL import Image

import galgen
from galgen.cli import main
from galgen.compare.similarity import cosine
from galgen.data.acquire.importing import import_images
from galgen.models.families import FAMILIES
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
    with pytest.raises(GalgenError, match="is of another book than that of --profile smoke .*--seed 1"):
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
    with pytest.raises(GalgenError, match="is flux, of which a folder is wanted"):
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
