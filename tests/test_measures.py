"""Questions of the book, asked about samples and networks whose answers are known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from astropy.table import Table
from blobs import galaxies
from conftest import floats
from scipy.stats import median_abs_deviation as MAD

from galbook import measure
from galbook.table import QUESTIONS
from galgen.compare.biases import photometry
from galgen.compare.controls import blurred, rounded
from galgen.compare.denoising import denoising_curve
from galgen.compare.gaussian import Empirical, fit_gaussian
from galgen.compare.morphology import COEFFICIENTS
from galgen.compare.scales import principal_spread
from galgen.compare.twosample import c2st, features
from galgen.experiment import Experiment
from galgen.models import glow_learner
from galgen.models.sampling import Samples, noise, seeded
from galgen.profiles import Parameters
from galgen.runs.store import Store

measure.load()
N, PIXELS, END = 24, 256, 1024  # images shown to a blind denoiser
NOISE = np.random.default_rng(0).choice(np.uint8([0, 255]), (150, 1, 16, 16))  # unrelated: far apart
BLOBS = galaxies(150)
SIX, PAIRS = ["A0", "B1", "A2", "B3", "A4", "B5"], ["A0-B1", "A2-B3", "A4-B5"]
WHERE = "model", "training_sets", "level", "at", "images_shown"
AXES = np.linalg.qr(np.random.default_rng(2).standard_normal((PIXELS, 120)))[0].T


def data_set(images):
    return SimpleNamespace(images=images, distinct=np.arange(len(images)), directory="", sha256="00" * 32)


@pytest.fixture
def plant(tmp_path):
    """An experiment with given images, in which nothing is trained; the caller plants the models."""

    def planted(family="diffusion", images=NOISE, weights=()):
        experiment = Experiment(Parameters(profile="smoke"), Store(tmp_path), family=family)
        experiment.images.__dict__["dataset"] = data_set(images)
        experiment.images.__dict__["start"] = floats(images[100:]).mean(0)
        kinds = {"galaxies": data_set(images[::-1]), "leaves": data_set(images[:, :, ::-1])}
        experiment.images.out_of_domain, experiment.ensure = kinds.get, lambda models: None
        experiment.train = lambda model: SimpleNamespace(summary={"weights": list(weights)})
        experiment.every = [model for pair in experiment.models.pairs(N) for model in pair]
        experiment.sets = [experiment.images.of(model) for model in experiment.every[:2]]
        return experiment

    return planted


def ask(name, experiment, *arguments):
    """Values of each statistic by those columns of `WHERE` that are not empty, in this order; arrays."""
    found, rows = QUESTIONS[name].measured(experiment, *arguments)[0], {}
    assert (found.rows.N.fillna(0) == sum(arguments[:1])).all()
    for one in found.rows.to_dict("records"):
        where = tuple(one[k] for k in WHERE if not pd.isna(one[k]) and one[k] != "")
        of = rows.setdefault(one["statistic"], {})
        assert of.setdefault(where[0] if len(where) == 1 else where, one["value"]) is one["value"], one
    return rows, found.arrays


def near(expected, rel=1e-3, least=1e-4):
    return pytest.approx(expected, rel=rel, abs=least)


def cosine(a, b, mean):
    """Anomaly cosines of each two images: neither the mean image nor the mean of an image counts."""
    q = np.linalg.qr(np.stack([np.ones(PIXELS), np.ravel(mean)], 1))[0]
    a, b = (x - x @ q @ q.T for x in (np.asarray(x, float).reshape(len(x), -1) for x in (a, b)))
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def copier(images, common=0.35):
    """Model k copies 1 - k / 8 of its samples from its own set, and the rest from the other one."""
    parts = torch.randn(32, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * common / 2

    def samples(model, images_shown=None, count=16):
        sets, few = images.split(N), count - count // 8 * (model.init % 100)
        own, other = (sets.A, sets.B)[:: 1 if model.half == "A" else -1]
        rows = np.r_[np.resize(own, few), np.resize(other, count - few)]
        return floats(images.dataset.images[rows]) + parts[:count]

    return samples


def angle(model, shown=None):
    own = 0.2 * (model.init % 100) + 0.05 * (model.order % 100) + 0.5 * (model.half == "B")
    far = {"": 0, "galaxies": 0.9, "leaves": 1.2}[model.out_of_domain]
    return (own + far) * (1 + (END if shown is None else shown) / 4096)


def turned(by, k=0):
    """Sixteen images turned by an angle: the cosine of two is that of the difference of their angles."""
    images = np.cos(by) * AXES[k : k + 16] + np.sin(by) * AXES[k + 16 : k + 32]
    return torch.from_numpy(images).float().reshape(-1, 1, 16, 16)


def test_agreement_and_near_copies_of_copiers(plant):
    experiment = plant()
    experiment.samples = samples = copier(experiment.images)
    rows, arrays = ask("agreement", experiment, N)
    pairs = zip(PAIRS, experiment.models.pairs(N), strict=True)
    closer, mean = (
        {(k, "disjoint", END): 15 / 16 - i / 4 for i, k in enumerate(PAIRS)},
        experiment.images.mean,
    )
    found = {(k, "disjoint", END): np.median(cosine(*map(samples, pair), mean)) for k, pair in pairs}
    assert rows["agreement"] == near(found)
    assert rows["agreement_null"].keys() == found.keys() and max(rows["agreement_null"].values()) < 0.03
    assert rows["p_train_closer"].pop(("gaussian", "disjoint")) < 1 == len(rows["pearson_agreement"])
    assert rows["p_train_closer"] == near(closer)
    assert rows["training_set_bias"].items() >= {k: p - 0.5 for k, p in closer.items()}.items()
    assert rows["pearson_nearest_cosine"]["A0", END] > 0.9 > 0.4 > rows["pearson_nearest_cosine"]["held-out"]
    assert np.median(arrays["anomaly-nearest"]) > 0.9 > 0.4 > np.median(arrays["anomaly-held-out"])
    few = {(name, END): 1 - k / 8 for k, name in enumerate(SIX)} | {"held-out": 0}
    assert ask("near_copies", experiment, N)[0]["near_copy_fraction"] == near(closer | few)


def test_a_model_that_is_its_gaussian_and_the_design(plant):
    experiment, mean = plant(), plant().images.mean
    experiment.family.flow = lambda one, seeds, start: SimpleNamespace(images=one.draw(seeds))
    linear = {m: fit_gaussian(x).draw(range(16)) for m, x in zip("AB", experiment.sets, strict=True)}
    experiment.samples = lambda model: linear[model.half]
    rows, _ = ask("gaussian_agreement", experiment, N)
    agree = {("gaussian", "disjoint"): np.median(cosine(linear["A"], linear["B"], mean))}
    assert rows["agreement"] == near(agree | {("A0-gaussian", "same", END): 1})
    assert rows["agreement_excess"] == near(dict.fromkeys(agree, 0))
    experiment.samples, names = lambda m: turned(angle(m)), ("A0-A0", "A0-A2", "A0-B0", "A0-B1")
    models, mine = experiment.models.design().values(), turned(angle(experiment.models.pair(8)[0]))
    agree = [np.median(cosine(mine, turned(angle(m)), mean)) for m in models]
    found = {(k, "disjoint" if "B" in k else "same", 512): x for k, x in zip(names, agree, strict=True)}
    assert ask("initialization_design", experiment, 8)[0]["design_agreement"] == near(found)


def test_normalized_agreement_of_models_at_known_angles(plant, monkeypatch):
    experiment, others = plant(weights=[512, END]), plant().models.out_of_domain()
    own, sets = experiment.every, {m: turned(1, 40 + 32 * (m.half == "B")) for m in plant().every[:2]}
    sets = {bytes(experiment.images.of(m)): x / 2 for m, x in sets.items()}
    sets |= {bytes(experiment.images.of(m)): turned(2, 40) / 3 for m in others}
    linear = lambda _, images: sets[bytes(images)]  # noqa: E731
    sets[bytes(np.concatenate(experiment.sets))] = torch.zeros(1)
    monkeypatch.setattr("galbook.measure.normalized_agreement.gaussian_samples", linear)
    plain = lambda m, shown=None, count=None: turned(angle(m, shown))  # noqa: E731
    full = lambda m, *_: plain(m, *_) + sets[bytes(experiment.images.of(m))]  # noqa: E731
    common = lambda m: plain(m) if m.out_of_domain else full(m)  # noqa: E731
    experiment.samples = full
    rows, _ = ask("normalized_agreement", experiment, N)

    def c(x, y, view=full, *shown):
        return float(np.median(cosine(view(x, *shown), view(y, *shown), experiment.images.mean)))

    name = lambda m: f"{m.label}-{m.out_of_domain}"  # noqa: E731
    two = {(f"{x.label}-{y.label}", x.half == y.half): c(x, y) for x in own for y in own if x.label < y.label}
    two = {(k, "same" if same else "disjoint", END): x for (k, same), x in two.items()}
    two |= {(name(x), "out-of-domain", END): np.mean([c(x, y) for y in own]) for x in others}
    two["A0-B1", "disjoint", 0] = c(*own[:2], full, 0)
    assert rows["pairwise_agreement"] == near(two)
    for text, view in {"": full, "residual_": plain, "common_residual_": common}.items():
        alike = [(c(x, y, view), x.half == y.half) for x in own for y in own if x != y]
        same = [np.mean([x for x, which in alike if which == k]) for k in (0, 1)]
        low = {m.out_of_domain: [] for m in others}
        _ = [low[x.out_of_domain].append(c(x, y, view)) for x in others for y in own]
        low = {k: np.mean(x) for k, x in low.items()}
        if view != common:
            kind, sets_of = max(low, key=low.get), {"disjoint": same[0], "same": same[1]}
            marks = {(k, END): x for k, x in sets_of.items()} | {(kind, "out-of-domain", END): low[kind]}
            assert rows[f"mean_{text}agreement"] == near(marks)
        found = {(k, END): (same[0] - x) / (same[1] - x) for k, x in low.items()}
        assert {k: rows[f"normalized_{text}agreement"][k] for k in found} == near(found)
    found = {(f"A0-{name(x)}", "out-of-domain", END): c(own[0], x) for x in others}
    assert rows["agreement"] == near(found)
    assert rows["agreement_excess"] == near({k: c(*own[:2]) - x for k, x in found.items()}, 0, 0.01)
    experiment.samples, names = plain, {("A0-B1", "disjoint"): own[1]}
    names |= {(f"A0-{name(x)}", "out-of-domain"): x for x in others[::2]}
    found = {(*k, t): c(own[0], x, plain, t) for k, x in names.items() for t in (0, 512, END)}
    assert ask("agreement_in_training", experiment, N)[0]["agreement_in_training"] == near(found)


class Oracle:
    """A blind network that knows all images: the error is given for its own, and else a part of the noise."""

    def __init__(self, own, part, error=0.01):
        self.own, self.part, self.error = {bytes(x) for x in own}, part, error

    def __call__(self, y):
        """The noise and the error, which the family subtracts from y."""
        which = torch.cdist(y.flatten(1), floats(NOISE).flatten(1)).argmin(1)
        left = y - floats(NOISE)[which]
        rms = left.square().mean((1, 2, 3), keepdim=True).sqrt()
        own = torch.tensor([bytes(NOISE[k]) in self.own for k in which])[:, None, None, None]
        return left - torch.where(own, self.error, self.part * rms)


def test_denoising_of_oracles(plant, monkeypatch):
    experiment, parts = plant(), {"A0": 0.5, "B1": 0.4, "A2": 0.2}
    experiment.networks = lambda model, *_: {"net": Oracle(experiment.images.of(model), parts[model.label])}
    rows, arrays = ask("denoising_psnr", experiment, N)
    levels = [float(f"{x:.8g}") for x in np.geomspace(0.01, 1, 9)]
    gain = {(k, x, END): -20 * np.log10(e) for k, e in parts.items() for x in levels}
    assert rows["psnr_gain"] == near(gain)
    curve = denoising_curve(fit_gaussian(experiment.sets[0]), experiment.images.held_out, levels)
    found = {("gaussian", x): np.median(dB) for x, dB in zip(levels, curve.denoised, strict=True)}
    assert {k: rows["psnr_held_out"][k] for k in found} == near(found, 0, 0.001)
    found |= {("noisy", x): -20 * np.log10(x) for x in levels}
    found |= {k: found["noisy", k[1]] + x for k, x in gain.items()}
    assert rows["psnr_held_out"] == near(found, 0, 0.3)
    beyond = {k: x - found["gaussian", k[1]] for k, x in found.items() if k[0] == "A0"}
    assert rows["psnr_beyond_gaussian"] == near(beyond, 0, 0.3)
    found = {("A0-B1", "disjoint", x, END): 20 * np.log10(x * 0.2**0.5 / 0.01) for x in levels}
    assert rows["psnr_advantage"] == near(found, 0, 1)
    lines = {m: [{"images": i, "loss": k + (i > 17)} for i in range(20)] for k, m in enumerate(SIX)}
    monkeypatch.setattr("galbook.measure.denoising.read_losses", lines.get)
    experiment.train = lambda m: SimpleNamespace(path=m.label, summary={"seconds": 60 * m.init})
    rows, arrays = ask("training_losses", experiment, N)
    assert rows["training_minutes"] == near({(m, END): k for k, m in enumerate(SIX)})
    assert rows["training_loss"] == near({(m, END): k + 1 for k, m in enumerate(SIX)})
    assert arrays["A2_loss"].tolist() == [2] * 18 + [3] * 2 and arrays["B3_images"][-1] == 19


def test_samplers_of_a_network_that_knows_one_image(plant, monkeypatch):
    experiment = plant()
    nets, held_out = {"A0": lambda y: y - 0.5}, rounded(experiment.images.held_out[20:30])
    experiment.networks = lambda model: {"net": nets[model.label]}
    rows, _ = ask("samplers", experiment, N)
    assert max(rows["auc"].pop(("held-out", side)) for side in (8, 16)) < 0.8
    assert len(rows["auc"]) == 14 and set(rows["auc"].values()) == {1}
    assert {(k[0][:4], *k[1:]) for k in rows["auc"]} == {("A0: ", side, END) for side in (8, 16)}
    found = {("held-out", k.first): x for k, x in principal_spread(held_out, experiment.sets[0]).items()}
    assert {k: x for k, x in rows["variance_ratio"].items() if abs(x) > 1e-6} == near(found)
    means = [x.mean(0) / 255 for x in experiment.sets]

    def ascent(net, start, latents, reuse_noise=False):
        own = max((0.3 * k + 0.1 for k, mean in enumerate(means) if np.allclose(start, mean)), default=0)
        done = torch.arange(16) >= 1 + 2 * net + reuse_noise
        return Samples(turned(0.6 * net + own + 0.2 * net * reuse_noise), None, None, done)

    monkeypatch.setattr("galbook.measure.sampling.stochastic_ascent", ascent)
    experiment.networks, experiment.family.denoiser = lambda model: model.init, lambda net: net
    rows, _ = ask("stochastic_ascent_choices", experiment, N)
    for own, start in enumerate(("common start", "own starts")):
        for twice, text in enumerate(("fresh noise", "noise used twice")):
            where, a, b = (f"A0-B1: {start}, {text}", "disjoint", END), turned(0.1 * own), 0.6 + 0.4 * own
            found = cosine(a, turned(b + 0.2 * twice), experiment.images.mean)[3 + twice :]
            assert rows["agreement"].pop(where) == near(np.median(found))
            assert rows["converged_fraction"].pop(where) == near((13 - twice) / 16)
    assert not rows["agreement"]


def area(known, images, side):
    return c2st(features(known, side=side), features(images, side=side)).auc.value


def test_the_scoreboard_of_galaxies_and_of_one_gray(plant):
    experiment, gray = plant(images=BLOBS), torch.full((64, 1, 16, 16), 0.5)
    known, more = experiment.images.held_out, galaxies(128, seed=1)
    others, train, sides = known[20:30], experiment.sets[0], (8, 16)
    experiment.samples = lambda m, *_, **__: floats(others) if m.half == "A" else gray
    rows, _ = ask("classifier_test", experiment, N)
    found = {("A0", side, END): area(known[:20], others, side) for side in sides}
    assert rows["auc"] == near(found | {("B1", side, END): 1 for side in sides})
    assert rows["equivalent_blur"]["A0", 8, END] < 0.5 < 1 < rows["equivalent_blur"]["B1", 8, END]
    spread = {g.first: x for g, x in principal_spread(rounded(others), train).items()}
    found = {("A0", g, END): x for g, x in spread.items()} | {("B1", g, END): 0 for g in spread}
    assert rows["variance_ratio"] == near(found)
    rows, _ = ask("classifier_baselines", experiment, N)
    sets = {"held-out": others, "gaussian": fit_gaussian(train).draw(range(10))}
    sets |= {f"blurred-{x:g}": blurred(others, x) for x in (0.5, 1)}
    found = {(k, side): area(known[:20], rounded(x), side) for k, x in sets.items() for side in sides}
    assert {k: rows["auc"][k] for k in found} == near(found)
    rows, _ = ask("control_pairs", experiment, N)
    found = np.median(cosine(others, known[10:20], experiment.images.mean))
    assert rows["agreement"]["held-out"] == near(found) and rows["agreement"]["gaussian"] > 0.5
    experiment.images.more = lambda count: more[:count]
    experiment.samples = lambda m, *_, **__: floats(more[64:]) if m.init == 1 else gray
    rows, _ = ask("realism", experiment, N, 64)
    least = {side: area(more[:64], more[64:], side) for side in sides}
    found = {(m, side, END): (m != "B1") * (1 - x) for m in SIX for side, x in least.items()}
    assert rows["auc_excess"] == near(found)
    found |= {("held-out", side): 0 for side in sides}
    assert rows["auc"] == near({k: x + least[k[1]] for k, x in found.items()})


def test_biases_and_morphology_of_other_galaxies(plant, monkeypatch):
    experiment = plant(images=BLOBS)
    known, sharp = experiment.images.held_out[:20], experiment.images.held_out[20:30] / 255
    experiment.samples = lambda m: torch.from_numpy(sharp * (1 - 0.05 * m.init))
    rows, _ = ask("photometry_biases", experiment, N)
    sets = {(m, END): sharp * (1 - 0.05 * k) for k, m in enumerate(SIX)} | {"held-out": sharp}
    sets |= {f"blurred-{x:g}": blurred(sharp, x) for x in (0.5, 1)}
    names = {"stretched_flux": "flux", "half_light_radius": "size", "ellipticity": "ellipticity"}
    for statistic, name in names.items():
        mean = {k: getattr(photometry(rounded(x)), name).mean() for k, x in (sets | {"": known}).items()}
        found = {k: 100 * (x / mean[""] - 1) for k, x in mean.items() if k}
        assert rows[f"{statistic}_bias"] == near(found)

    def measured(_, images, bits=8):
        light, few = rounded(images).mean((1, 2, 3)) + (bits == 5), rounded(images).max((1, 2, 3)) == 0
        return Table(dict.fromkeys(COEFFICIENTS, light) | {"reason": np.where(few, "black", "")})

    monkeypatch.setattr("galbook.measure.morphology._measured", measured)
    monkeypatch.setattr("galbook.measure.morphology.FEWEST", 5)
    left = np.arange(10)[:, None, None, None]
    experiment.samples = lambda m: torch.from_numpy((sharp + 0.2 * m.init) * (left >= m.init))
    rows, arrays = ask("morphology", experiment, N)
    assert rows["valid_fraction"] == near({(m, END): 1 - k / 10 for k, m in enumerate(SIX[:3])})
    assert [np.isnan(arrays[m]).all(1).sum() for m in SIX[:3]] == [0, 1, 2]
    x, unit = np.median(measured(0, known)["gini"]), MAD(measured(0, known)["gini"], scale="normal")
    light = {(m, END): measured(0, (sharp + 0.2 * k)[k:])["gini"] for k, m in enumerate(SIX[:3])}
    found = {k: (np.median(y) - x) / unit for k, y in light.items()}
    assert rows["gini_shift"] == near(found) and len(rows["energy_distance"]) == 3
    assert rows["energy_distance"]["B1", END] < rows["energy_distance"]["A2", END]
    rows, _ = ask("morphology_baselines", experiment, N)
    far = {k: x for k, x in rows["energy_distance_unbiased"].items() if k[0] != "blurred"}
    unit = rows["energy_distance_unbiased"]["blurred", 1]
    assert rows["relative_energy_distance"] == near({k: x / unit for k, x in far.items()})
    far = ask("gray_levels", experiment)[0]["energy_distance"]
    assert far["held-out-5-bits", 8] > 2 > max(far[f"{x}-5-bits", 5] for x in ("held-out", "blurred-0.5"))


class Scales(torch.nn.Module):
    """A flow x = scale * z of two levels, whose inverse has an error."""

    latent_shapes = (1, 16, 8), (1, 16, 8)

    def __init__(self, *scales, error=0.0):
        super().__init__()
        self.scales, self.error, self.levels = scales, error, [SimpleNamespace(prior=torch.zeros(1))]
        self.dequantize = lambda x, generator: x - 0.5

    def decode(self, z):
        return torch.cat([s * part for s, part in zip(self.scales, z, strict=True)], 3)

    def encode(self, x):
        z = [part / s + self.error for s, part in zip(self.scales, x.split(8, 3), strict=True)]
        parts = zip(self.scales, z, strict=True)
        log = sum(-part.square().sum((1, 2, 3)) / 2 - 128 * np.log(s) for s, part in parts)
        return [part + (x.dtype == torch.float64) * self.error for part in z], log


def test_inversion_of_flows_of_known_widths(plant):
    experiment, parts = plant("glow"), {"same": [], "disjoint": []}

    def widths(m, shown=None):
        k = m.init % 100 + 10 * bool(m.out_of_domain) + (shown == 0)
        return np.array([0.1 * 1.01**k, 0.05 * 1.02 ** (k * (1 + (shown == 0)))])

    experiment.networks = lambda m, shown=None: {"net": Scales(*widths(m, shown))}
    z = glow_learner.latents(Scales(1, 1), experiment.latents(16))
    square, size = np.stack([x.square().sum((1, 2, 3)) for x in z]), [float(x.abs().mean()) for x in z]
    own, (C,), w, d = experiment.every, experiment.models.out_of_domain(), {}, {}
    for x, y in [(x, y) for x in own for y in own if x is not y]:
        r, where = widths(x) / widths(y), (f"{x.label}-{y.label}", "same" if x.half == y.half else "disjoint")
        w |= {(*where, k, 256): each for k, each in enumerate(abs(r - 1) * size)}
        log = np.median((r**2 - 1) @ square / 2 - 128 * np.log(r).sum())
        d[*where, 256] = max(log / PIXELS / np.log(2), 1e-9)
        parts[where[1]].append(d[*where, 256])
    rows, _ = ask("inversion", experiment, N)
    assert rows["latent_wasserstein"] == near(w)
    assert rows["log_likelihood_ratio"] == near(d, 0.01, 1e-6)
    both = {k: (x + w[k[0][3:] + "-" + k[0][:2], *k[1:]]) / 2 for k, x in w.items()}
    names = [f"A{k}-B{k + 1}" for k in range(0, 8, 2)]
    assert rows["latent_wasserstein_pair"] == near({k: x for k, x in both.items() if k[0] in names})
    found = np.mean(parts["disjoint"]) / np.mean(parts["same"])
    assert rows["log_likelihood_ratio_disjoint_over_same"] == near({256: found}, 0.02)
    unlike = rows["likelihood_ratio_auc"]
    assert unlike["A0-B7", "disjoint", 256] > unlike["A0-A2", "same", 256] > 0.5 and len(unlike) == 28
    rows, _ = ask("inversion_controls", experiment, N)
    ways = {("A0-B1", "disjoint", 0): own[:2], ("B1-A0", "disjoint", 0): own[1::-1]}
    ways["A0-A100-galaxies", "out-of-domain", 256] = own[0], C
    found = {k: abs(np.divide(*(widths(m, k[2]) for m in pair)) - 1) * size for k, pair in ways.items()}
    found = {(*k[:2], i, k[2]): x[i] for k, x in found.items() for i in (0, 1)}
    assert rows["latent_wasserstein"] == near(found)


def test_likelihood_of_flows_that_know_their_images(plant, monkeypatch):
    experiment = plant("glow", weights=[128, 256])
    sets = experiment.images.split(N)

    def bits(flow, images, rows):
        (half, shown), parts = flow, {"A": sets.A, "B": sets.B, "held-out": sets.validation}
        (part,) = (k for k, each in parts.items() if {*rows} <= {*each})
        least = {half: 2, "held-out": 4}.get(part, 3) + 0.2 * (half == "B") * (1 + (part == "A"))
        assert np.array_equal(images, NOISE[rows])
        return least + shown / 1000 + 0.001 * np.random.default_rng(0).standard_normal(len(rows))

    experiment.networks = lambda model, shown: {"net": (model.half, shown)}
    monkeypatch.setattr("galbook.measure.flows.bits_per_dim", bits)
    rows, _ = ask("likelihood", experiment, N)
    known = {"bits_per_dim_training": (2, 2.2), "bits_per_dim_held_out": (4, 4.2), "likelihood_gap": (2, 2)}
    for name, both in (known | {"likelihood_gap_beyond_partner": (1.2, 1)}).items():
        each, t = zip(SIX[:2], both, strict=True), name.startswith("bits") / 1000
        found = {(m, k): x + k * t for m, x in each for k in (128, 256)}
        assert rows[name] == near(found, 0, 0.002)
    experiment.networks = lambda model: {"net": Scales(0.1, 0.05, error=0.1 + model.init)}
    rows, _ = ask("flow_latents", experiment, N)
    x = (floats(experiment.images.held_out) - 0.5).split(8, 3)
    z = [part / s + 0.1 for s, part in zip((0.1, 0.05), x, strict=True)]
    found = {("A0", k, 256): x.square().sum((1, 2, 3)).std().item() / 16 for k, x in enumerate(z)}
    assert rows["held_out_norm_spread"] == near(found)
    assert rows["inverse_error"] == near({("A0", k, at, 256): at / 320 for k in (0, 1) for at in (32, 64)})


def test_discriminators_of_known_scores(plant):
    experiment, pair = plant("gan", weights=[128, 512]), plant("gan").models.pair
    train = dict(zip("AB", ({bytes(x) for x in images} for images in experiment.sets), strict=True))
    experiment.models.pairs = lambda N: [pair(N, 0), pair(N, 1)]

    def judge(model, shown):
        def D(x):
            gray = torch.where(x[:, 0, 0, 0] == (model.init + 1) / 16, 0.5, 0.25)
            known = torch.tensor([bytes((image * 255).byte().numpy()) in train[model.half] for image in x])
            score = torch.where(x.flatten(1).std(1) < 1e-6, gray, torch.where(known, 0.75, -0.25))
            return (1 + 0.1 * model.init) * shown / 512 * score

        return {"discriminator": D}

    experiment.networks = judge
    experiment.samples = lambda m, shown: torch.full((16, 1, 16, 16), (m.init + 1) / 16)
    rows, arrays = ask("discriminator_test", experiment, N)
    sizes = {(m, t): (1 + 0.1 * k) * t / 512 for k, m in enumerate(SIX[:2]) for t in (128, 512)}
    sizes |= {("A2", 512): 1.2, ("B3", 512): 1.3, "constant": 0}
    for name, fake in (("other", 0.25), ("training", 0.75), ("held_out", -0.25)):
        assert rows[f"hinge_loss_{name}"] == near({k: 2 - 0.5 * x + fake * x for k, x in sizes.items()})
    assert rows["score_distance_own_held_out"] == near({k: 2 * (x > 0) for k, x in sizes.items()})
    assert arrays["pair"].tolist() == [0, 0, 1] and arrays["images_shown"].tolist() == [128, 512, 512]
    experiment.networks = lambda m, shown: judge(m, 512 if shown == 512 or m.init == 1 else 0)
    found = {(m, t): 1 if t == 512 or m == "B1" else 0.5 for m in SIX[:4] for t in (128, 512)}
    assert ask("discriminator_memorization", experiment, N)[0]["membership_auc"] == near(found)


def test_mechanisms_of_models_in_closed_form(plant):
    experiment, share = plant("conditional"), {0.05: 0.2, 0.2: 0.5, 0.8: 0.9}
    (A, B), (C, *_), known = experiment.every, experiment.models.out_of_domain(), experiment.images.held_out
    copy, (linear, of_B) = Empirical(experiment.sets[0]), map(fit_gaussian, experiment.sets)

    def follower(y, sigma):
        return torch.lerp(linear(y, sigma), copy(y, sigma), share[round(float(sigma[0]), 3)])

    experiment.networks = {A: {"net": copy}, B: {"net": follower}}.get
    rows, _ = ask("patch_denoisers", experiment, N)
    for at, part in share.items():
        found, beyond = (rows[f"explained_fraction{k}"] for k in ("", "_excess"))
        assert found["A0-B1", "disjoint", at, 512] == near(1 - (1 - part) ** 2)
        assert found["A0-patches", "same", 31, at, 512] == near(1)
        assert found["A0-patches", "disjoint", 31, at, 512] < 0.5 < beyond["A0-patches", 31, at, 512]
    experiment.samples = lambda m: floats(known[:16] if m.half == "A" else known[10:26])
    rows, _ = ask("principal_directions", experiment, N)
    for k, found in ((k, rows["principal_overlap"]) for k in (1, 3, 10, 30)):
        apart = near(found["held-out", k])
        assert (
            found["A0", k, 512] == near(min(1, 9 / k))
            and max(found["gaussian", k], found["held-out", k]) < 0.2
        )
        assert found["A0-B1", "disjoint", k, 512] == apart == found["B1", k, 512]
    agree = np.median(cosine(known[:10], known[10:20], experiment.images.mean))
    assert rows["agreement"] == near({("A0-B1", "disjoint", 512): agree})
    experiment.networks = {A: {"net": of_B}, B: {"net": of_B}, C: {"net": linear}}.get
    rows, arrays = ask("flow_inversion", experiment, N)
    found, first = rows["latent_correlation"], arrays["components"][:, 0]
    assert len(found) == 3 * len(first)
    for at in first:
        same = found["A0-B1", "disjoint", at, 512]
        assert found["A0-A100-galaxies", "out-of-domain", at, 512] < 0.99 < same
        assert same == near(found["A0-gaussian", "disjoint", at, 512])


def test_data_with_near_duplicates(plant):
    images = NOISE.copy()
    images[[5, 8]] = images[[3, 7]]
    images[5, 0, 0, 0], images[8, 0, 0, :4] = 255 - images[5, 0, 0, 0], 255 - images[8, 0, 0, :4]
    experiment = plant(images=images)
    rows, arrays = ask("data_set", experiment)
    assert rows["near_duplicate_pairs"] == {0.95: 2, 0.99: 1} and rows["images"] == {(): 150}
    assert np.array_equal(arrays["held_out"], experiment.images.held_out[:, 0])
    rows, arrays = ask("data_split", experiment, N)
    assert rows["images"] == {"A": N, "B": N, "held-out": 32, "sampler-start": 32}
    x, y = experiment.images.held_out, experiment.sets[0]
    every = [cosine(np.repeat(x[i : i + 1], N, 0), y, experiment.images.mean).max() for i in range(len(x))]
    assert arrays["anomaly"] == near(np.array(every), 0.01)
    u, v = (part.reshape(len(part), -1) / np.linalg.norm(part / 1.0, axis=(2, 3)) for part in (x, y))
    assert rows["raw_cosine_nearest"] == near({(): np.median((u @ v.T).max(1))})


def test_audit_of_copiers(plant):
    experiment = plant()
    experiment.samples = samples = copier(experiment.images, common=0.1)
    rows, arrays = ask("audit", experiment, N)
    assert rows["audit_verdict"] == {("A0", END): 2} and arrays["is_training"].all()
    assert rows["weighted_training_fraction"] == near({("A0", END): 1})
    a, b, c = (rounded(samples(m)) for m in (*experiment.every[:2], experiment.models.out_of_domain()[0]))
    agree = [np.median(cosine(a, x, experiment.images.mean)) for x in (b, c)]
    names = ("A0-B1", "disjoint", END), ("A0-A100-galaxies", "out-of-domain", END)
    assert rows["agreement"] == near(dict(zip(names, agree, strict=True)), 0, 0.02)
    assert rows["training_set_bias"] == near({names[0]: 15 / 16 - 0.5})
    assert {*rows["auc"]} == {("A0", side, END) for side in (8, 16)}
    rows, _ = ask("planted_copies", experiment, N)
    assert rows["audit_verdict"]["held-out", 1] == 2 and len(rows["audit_verdict"]) == 3
    found = rows["weighted_training_fraction"]
    assert found["held-out", 0] < 0.8 and found["held-out", 1] == 1 and ("held-out", 0.2) in found
    assert {*ask("detectable_copies", experiment, N)[0]["least_detected_copies"]} == {("unseen-94", 32)}


@pytest.mark.parametrize("family", ["diffusion", "onset8"])
def test_the_onset_of_oracles(plant, family):
    weights, late, images = [2048, 4096, 8192, 16384], 16384 * 9 // 10, plant().images
    experiment, gains = plant(family, weights=weights), {}
    for k, t in enumerate(weights):
        gains |= {("A0", t): k, ("B1", t): k / 2}

    def networks(model, shown):
        net = Oracle(images.of(model), 0.5, 0.05 * 10 ** (-gains[model.label, shown] / 20))
        return {"net": net, "average": net}

    experiment.networks = networks
    rows, _ = ask("onset", experiment, N)
    assert rows["denoising_gap"] == near(gains, 0, 0.01)
    assert rows["denoising_gap_gain"]["A0", 4, 16384] == near(2, 0.01)
    assert rows["denoising_gap_gain"]["B1", 4, 16384] == near(1, 0.01)
    if family == "diffusion":
        return
    times = {(m, g): 2048 * 2 ** (g * (1 + k)) for k, m in enumerate(SIX[:2]) for g in (0.5, 0.75, 1, 2, 3)}
    times = {k: t if t < late else late for k, t in times.items()}
    assert rows["onset"] == near({(*k, 16384): t for k, t in times.items()}, 0.02)
    assert rows["onset_censored"] == {(*k, 16384): t == late for k, t in times.items()}
    copies = copier(images, 0.2)
    experiment.samples = lambda m, shown: copies(SimpleNamespace(half=m.half, init=shown // 2048 - m.init))
    rows, _ = ask("near_copies_along_training", experiment, N)
    found = {("A0-B1", "disjoint", t): 1 - (t / 2048 - 0.5) / 8 for t in (2048, 16384)}
    assert rows["training_set_bias"] == near({k: x - 0.5 for k, x in found.items()})
    assert rows["near_copy_fraction"] == near(found | {"held-out": 0})


def test_the_circle_begins_at_the_first_latent_and_passes_the_second(plant):
    experiment, z = plant("gan"), noise(seeded([0, 1]), (8,)).numpy()
    generator = torch.nn.Unflatten(1, (1, 1, 8))
    generator.module = SimpleNamespace(inputs=8)
    experiment.networks = lambda m: {"A0": {"average": generator}}[m.label]
    rows, arrays = ask("latent_circle", experiment, N)
    quarters = np.clip(np.stack([z[0], z[1], -z[0], -z[1], z[0]]), 0, 1) * 255
    assert not rows and np.abs(arrays["images"][::6, 0] - quarters).max() < 1
