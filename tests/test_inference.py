"""Trained models loaded by name: samples in files, a denoised image."""

import os

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
from galgen.inference.loading import load_model
from galgen.models.families import FAMILIES
from galgen.models.sampling import noise, seeded
from galgen.runs.errors import GalgenError

BLIND = "diffusion-N12-A"


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_are_those_of_the_book_bit_for_bit_and_of_published_weights_nearly(family, smoke, folder):
    book = smoke[family]
    wanted = book.samples(book.models.pair(12)[1], count=8)
    found = galgen.sample(f"{family}-N12-B", 8, store=book.store.root, profile="smoke", N=12)
    assert found.dtype == np.float32 and np.array_equal(found, wanted[:, 0].numpy())
    nearly = torch.from_numpy(galgen.sample(f"{family}-N12-B1-1", n=8, models=str(folder)))
    assert cosine(nearly[:, None], wanted, kind="raw").min() > 0.999
    later = galgen.sample(f"{family}-N12-B", n=3, first=5, models=folder)
    assert np.allclose(later, nearly[5:], atol=1e-4)


def test_files_of_samples_have_the_same_images_and_the_importer_takes_them_for_no_flux(folder, tmp_path):
    files = [tmp_path / name for name in ("a.npz", "a.fits", "folder")]
    for out in files:
        line = ["sample", "glow-N12-A", "-n", "3", "--first", "2", "--models", str(folder), "--out", str(out)]
        assert main(line) == 0
    with fits.open(files[1]) as file:
        header, pixels = file[0].header, file[0].data
    assert header["MODEL"] == "glow-N12-A0-0" and len(header["MODELKEY"]) == 16
    assert (header["DATA"], header["PROFILE"], header["SEED"]) == ("simulated", "smoke", 0)
    arrays = np.load(files[0])
    about = {"model": "glow-N12-A0-0", "data": "simulated", "profile": "smoke", "seed": 0}
    assert {name: arrays[name].item() for name in about} == about and len(str(arrays["key"])) == 16
    assert np.array_equal(arrays["images"], pixels) and list(arrays["id"]) == [2, 3, 4]
    found = [import_images(path, size=16) for path in files[1:]]
    assert list(found[0].catalogue["id"]) == ["2", "3", "4"] and found[0].parameters["kind"] == "display"
    assert np.array_equal(found[0].images[:, 0], np.rint(pixels.clip(0, 1) * 255))
    assert np.array_equal(found[0].images, found[1].images)


def test_models_are_listed_where_there_are_some(smoke, folder, tmp_path, monkeypatch, capsys):
    store = str(smoke["gan"].store.root)
    assert main(["models", "--models", str(folder), "--store", store]) == 0
    said = capsys.readouterr().out
    assert said.count(" published ") == 2 * len(FAMILIES) and "gan-N12-A0-0                  trained" in said
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "store"))
    assert main(["models", "--models", "empty"]) == 0
    nothing = capsys.readouterr()
    assert not nothing.out and "no models are published in" in nothing.err and "--models" in nothing.err
    assert main(["sample", "diffusion-N4000-A", "--out", "x.npz", "--models", "empty"]) == 2
    assert "give another directory with --models" in capsys.readouterr().err
    assert load_model("conditional", models=folder).name == "conditional-N12-A0-0"
    assert load_model("diffusion").name == "diffusion-N4000-A0-0", "the checkout's, and the largest N"


def noisy(images, sigma):
    """Images uint8 (n, 1, H, W) with noise of the seeds 0 to n - 1, (n, H, W)."""
    z = noise(seeded(range(len(images))), images.shape[1:])
    return (images / 255 + sigma * z.numpy()).astype(np.float32)[:, 0]


@pytest.mark.parametrize(("family", "told"), [("diffusion", {}), ("conditional", {"sigma": 0.2})])
def test_an_image_is_denoised_as_in_the_chapter(family, told, smoke, folder, tmp_path):
    book, known = smoke[family], smoke[family].images.held_out
    D = book.family.denoiser(book.networks(book.models.pair(12)[0]))
    curve, y = denoising_curve(D, known, [0.2]), noisy(known, 0.2)
    store = {"store": book.store.root, "profile": "smoke", "N": 12}
    found = galgen.denoise(y, f"{family}-N12-A", **store, **told)
    seen = psnr(torch.from_numpy(found.mean)[:, None], floats(known)).numpy()
    assert np.allclose(seen, curve.denoised[0], atol=1e-4)
    assert np.allclose(found.mean + found.residual, found.noisy, atol=1e-6)
    assert np.allclose(found.sigma, np.sqrt((found.residual**2).mean((1, 2))), rtol=1e-5)
    one = galgen.denoise(torch.from_numpy(y[0]).requires_grad_(), f"{family}-N12-A", **store, **told)
    assert one.mean.shape == (1, 16, 16) and np.allclose(one.mean, found.mean[:1], atol=1e-6)


@pytest.mark.parametrize("suffix", [".png", ".npy", ".npz", ".fits"])
def test_images_of_any_kind_of_file_are_denoised(suffix, smoke, folder, tmp_path, capsys):
    image, path = smoke["gan"].images.held_out[0, 0], tmp_path / f"image{suffix}"
    if suffix == ".png":
        Image.fromarray(image).convert("RGB").save(path)
    elif suffix == ".fits":
        header = fits.Header({"STRETCH": "display: black 0, white 1"})
        fits.PrimaryHDU(np.float32(image / 255), header).writeto(path)
    elif suffix == ".npy":
        np.save(path, image)
    else:
        np.savez(path, images=image)
    out = tmp_path / "out.fits"
    assert main(["denoise", str(path), f"--model={BLIND}", f"--models={folder}", f"--out={out}"]) == 0
    wanted = galgen.denoise(image, BLIND, models=folder)
    assert f"mean noise {wanted.sigma[0]:.4g}" in capsys.readouterr().out
    with fits.open(out) as file:
        assert np.allclose(file[0].data, wanted.mean, atol=1e-6)
        assert [hdu.name for hdu in file[1:]] == ["RESIDUAL", "SIGMA"]


IMAGE = np.full((16, 16), 0.3)
CALLS = [
    *(("sample", ("gan-N12-A",), {"n": value}) for value in (1.5, "x", None, [1], 0, -1, 10**400)),
    *(("sample", ("gan-N12-A",), {"first": value}) for value in (1.5, None, [1], -1, 999_999)),
    *(("sample", ("gan-N12-A",), given) for given in ({"models": 3}, {"seed": -1}, {"zz": 1}, {"N": "x"})),
    *(("sample", given, {}) for given in ((None,), (3,), (), ("gan-N12-C",), ("gan-N12-A", 1, 2))),
    *(("denoise", (IMAGE, BLIND), {"sigma": value}) for value in ("x", [0.1], 10**400, float("nan"), 0.2, 0)),
    *(("denoise", (IMAGE, "conditional-N12-A"), {"sigma": value}) for value in (None, 0, 16)),
    *(("denoise", (IMAGE, name), {}) for name in (None, 3, "glow-N12-A", "nothing", "a\nb" * 300)),
    *(
        ("denoise", (images, BLIND), {})
        for images in (
            *([[1, 2], [3]], None, "text", np.ma.masked_array(IMAGE, IMAGE > 0), np.zeros((16, 16), int)),
            *(torch.zeros(16, 16).to_sparse(), torch.zeros(16, 16, device="meta"), np.zeros((24, 24))),
            *(IMAGE * np.nan, np.random.default_rng(0).normal(0, 99, (16, 16)), np.zeros((0, 16, 16))),
        )
    ),
]


@pytest.mark.parametrize(("name", "positional", "named"), CALLS)
def test_a_bad_argument_of_a_call_is_one_line(name, positional, named, folder):
    with pytest.raises(GalgenError) as told:
        getattr(galgen, name)(*positional, **{"models": folder} | named)
    assert "\n" not in str(told.value) and len(str(told.value)) < 700


OTHER = "is published for profile smoke, data simulated, seed 0, not for"
MISTAKES = {
    "sample gan-N12-A --out x.npz --seed 7": f"{OTHER} seed 7: leave this out",
    "sample gan-N12-A --out x.npz --data mine --N 1 5": f"{OTHER} data mine, N (1, 5)",
    "sample gan-N12-A --out x.npz --precision bf16": f"{OTHER} precision bf16",
    f"denoise good.npy --model {BLIND} --out x.npz --profile paper": f"{OTHER} profile paper",
    "sample gan-N12-A --out x.npz --store none": "none is not a run store: it contains no runs",
    "denoise large.npy --model conditional-N12-A --out x.npz --sigma 0.2": "do not fit an image with",
    "sample gan-N12-C --out x.npz": "no model 'gan-N12-C', trained or published; models published in",
    "sample gan-N12-A": "--out requires an argument",
    "sample gan-N12-A --": "--out requires an argument",
    "sample gan-N12-A --out x.tif": "the name must end in .npz or .fits",
    "sample gan-N12-A --out there.npz": "there.npz exists already",
    "sample gan-N12-A --out x.npz -n 0": "choose one or more",
    "sample gan-N12-A --out x.npz --store nowhere": "nowhere is not a run store",
    "sample there.npz --out x.npz": "no model 'there.npz'",
    f"denoise good.npy --model {BLIND} --out there.npz": "exists already",
    f"denoise good.npy --model {BLIND} --out x.npz --sigma much": "--sigma",
    f"denoise nothing.npy --model {BLIND} --out x.npz": "nothing.npy cannot be read (",
    f"denoise flux.fits --model {BLIND} --out x.npz": "is a FITS file of flux",
    f"denoise pipe.npy --model {BLIND} --out x.npz": "not a regular file",
    f"denoise damaged.png --model {BLIND} --out x.npz": "damaged.png cannot be read",
    f"denoise objects.npy --model {BLIND} --out x.npz": "objects.npy cannot be read (",
    f"denoise colour.png --model {BLIND} --out x.npz": "is in color",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(line, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("good.npy", IMAGE)
    np.save("large.npy", 255 * IMAGE)
    (tmp_path / "none").mkdir()
    np.save("objects.npy", np.array([{}, print]))
    np.savez("there.npz", images=np.zeros((3, 16, 16)))
    fits.PrimaryHDU(np.zeros((16, 16))).writeto("flux.fits")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)).save("colour.png")
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    os.mkfifo("pipe.npy")
    before = sorted(tmp_path.iterdir())
    command, *options = line.split()
    models = [] if "--store" in line else ["--models", str(folder)]
    assert main([command, *models, *options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("galgen: error: ") and MISTAKES[line] in error
    assert sorted(tmp_path.iterdir()) == before
