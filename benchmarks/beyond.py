r"""Questions that the paper did not ask, once for a data set, into results/beyond.json; the book shows them.

    make beyond                          on simulated galaxies
    make beyond DATA=path/to/galaxies    on others

    distances   calibrated two-sample distances: of controls and of the models of a book, over the number of
                draws of a memorizer, and their power                                (`galgen.compare.calibrated`)
    flow        inversion and likelihood of the conditional denoisers of a book      (`galgen.compare.flow`)
    jacobian    eigen-images of these, and by N those of small networks              (`galgen.compare.jacobian`)
    maps        distance of the maps of small networks over N and width, and how much of an agreement a network
                of Gaussian draws has                                                (`galgen.compare.maps`)
    seeds       three splits times three trainings of one cell                       (`galgen.compare.seeds`)

The small networks are noise-conditional denoisers of 16 pixels, each shown as many images as any other. They
are trained here, once, and kept in the store. Of the book's models the conditional denoisers are trained if the
store lacks them; distances are asked of all that it has.
"""

import argparse
import datetime
import hashlib
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from galgen.compare import calibrated, flow, jacobian, likelihood, maps, seeds
from galgen.compare.controls import blurred, controls, rounded
from galgen.compare.gaussian import Empirical, fit_gaussian
from galgen.compare.morphology import stored
from galgen.config import ConditionalSettings, Parameters
from galgen.data import similarity
from galgen.experiment import every_family, loaded
from galgen.figures.results import strip
from galgen.models.edm import ConditionalDiffusion
from galgen.models.sampling import noise, seeded
from galgen.runs import checkpoint, schedules
from galgen.runs import training as loop
from galgen.runs.errors import checked
from galgen.runs.files import project, read_json, write_json
from galgen.runs.store import Store, provenance

SIDE, SIZES, WIDTHS, SHOWN = 16, (10, 30, 100, 300, 3000), (4, 8, 16), 8000
CELL = (300, 8)  # N and width of the cell that is trained anew
SIGMAS = (0.05, 0.2, 0.8)  # of the eigenvectors
KEPT = 16  # eigenvectors of a subspace
BLURS, NOISES, COPIES = (0.3, 0.5, 0.8), (2.0, 4.0, 8.0), (0.1, 0.3, 1.0)
SMOKE = {"SIZES": (8, 24), "WIDTHS": (2, 4), "SHOWN": 64, "CELL": (8, 4)}


class Bench:
    """The galaxies and models of one data set.

    Args:
        parameters: Profile, data and seed.
        quick: Everything small, to see that it runs.
    """

    def __init__(self, parameters: Parameters, quick: bool):
        self.families = every_family(parameters, studies=True)
        self.store, self.quick = Store(), quick
        self.book = self.families["edm"]
        self.profile = self.book.profile
        self.count = 8 if quick else 64
        self.latents = 16 if quick else 128
        small = self.families["onset"]
        self.images, self.other = small.dataset.images, small.control_dataset.images
        self.rows, self.mean = small.dataset.distinct, small.mean_image
        self.galaxies = fit_gaussian(self.images)

    # Small networks

    def family(self, width: int) -> ConditionalDiffusion:
        """The noise-conditional denoiser of 16 pixels and so many channels."""
        given = ConditionalSettings(kernels=width, sampler_steps=20)
        return ConditionalDiffusion(
            self.profile.model_copy(update={"image_size": SIDE, "conditional": given})
        )

    def halves(self, N: int, turn: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """The images of A and B of that split of the galaxies, uint8 (N, 1, 16, 16) each."""
        rows = np.random.default_rng([self.book.parameters.seed, turn]).permutation(self.rows)[: 2 * N]
        return self.images[rows[:N]], self.images[rows[N:]]

    def net(self, images: np.ndarray, width: int, seed: int) -> dict:
        """Networks trained on the images; the seed is of initialisation, order and noise."""
        family = self.family(width)
        settings = family.settings

        def networks() -> dict:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return family.networks()

        def make(work: Path) -> dict:
            learner = family.learner(networks(), images, images, "cpu")
            options = {"seed_order": seed, "seed_noise": seed, "progress": False}
            options |= {"images_shown": SHOWN, "batch_size": settings.batch_size}
            return loop.resume(learner, images, work, schedule=schedules.cosine, **options)

        params = settings.recipe() | {"shown": SHOWN, "seed": seed}
        data = hashlib.sha256(images.tobytes()).hexdigest()
        code = (family.networks, family.learner, loop.train, schedules.cosine)
        run = self.store.run("small", params, make, data=data, code=code)
        return loaded(
            networks(), checkpoint.load(run.path / f"weights-{run.summary['images_shown']}.safetensors")
        )

    def drawn(self, denoise, width: int = 8) -> Tensor:
        """What a denoiser makes of the latents that all share."""
        start = torch.from_numpy(self.mean)
        return self.family(width).flow(denoise, range(self.latents), start, chunk=64).images

    # The parts

    def distances(self) -> dict:
        """Calibrated distances of controls and models; over the draws of a memorizer; and their power."""
        first, n = self.families["unet"], min(self.profile.samples, self.profile.validation // 3)
        split, images = first.split(), first.dataset.images
        measure = lambda part: stored(self.store, part, progress=False)  # noqa: E731
        made = controls(images, split, n)
        held_out = images[split.validation]
        train = images[split.A]
        some = np.random.default_rng(0).permutation(len(train))[:n]
        sets = {name: (pair[0], len(split.A), train) for name, pair in made.pairs.items()}
        sets |= {"training images": (rounded(train[some]), len(split.A), train)}
        for family in ("unet", "edm", "glow", "gan"):
            experiment = self.families[family]
            for N in experiment.sizes:
                model = experiment.pair(N)[0]
                if experiment.trained(model):
                    samples = rounded(experiment.samples(model)[:n], experiment.family.bits)
                    sets[f"{experiment.family.label}, N = {N}"] = (samples, N, experiment.images(model))
        records = []
        for name, (part, N, own) in sets.items():
            against = {"held-out galaxies": made.reference, "own training set": rounded(own[: 2 * n])}
            for which, reference in against.items():
                if name in ("held out", "blurred") and which == "own training set":
                    continue
                if len(reference) < 2 * calibrated.NEIGHBOURS:
                    continue
                for space, rows in calibrated.spaces([part, reference], measure).items():
                    found = calibrated.calibrated(*rows, permutations=200)
                    records += [
                        {"set": name, "N": N, "against": which, "space": space, "statistic": s, **vars(v)}
                        for s, v in found.items()
                    ]
        return {
            "n": n, "records": records, "memorizer": self.memorizer(train, held_out),
            "power": self.power(held_out),
        }  # fmt: skip

    def memorizer(self, train: np.ndarray, held_out: np.ndarray) -> list[dict]:
        """PQMass of growing numbers of draws of a training set, against that set and against others."""
        N = min(len(train), len(held_out), 16 if self.quick else 1000)
        known, unseen = (part[:N].reshape(N, -1) / 255 for part in (train, held_out))
        found = []
        for n in sorted({max(12, round(N * share)) for share in (0.03, 0.1, 0.3, 1.0, 2.0)}):
            for kind in ("with repeats", "each once"):
                if kind == "each once" and n > N:
                    continue
                for name, reference in (("training set", known), ("held-out galaxies", unseen)):
                    tests = []
                    for turn in range(2 if self.quick else 8):
                        rng = np.random.default_rng([n, turn])
                        rows = rng.integers(N, size=n) if kind == "with repeats" else rng.permutation(N)[:n]
                        options = {"statistics": ["PQMass"], "permutations": 99, "tessellations": 10}
                        tests.append(
                            calibrated.calibrated(known[rows], reference, seed=turn, **options)["PQMass"]
                        )
                    values = [test.value for test in tests]
                    record = {"N": N, "n": n, "kind": kind, "against": name, "tests": len(tests)}
                    record |= {"value": np.mean(values), "low": min(values), "high": max(values)}
                    record |= {
                        side: sum(t.verdict() == side for t in tests) for side in ("too far", "too close")
                    }
                    found.append(record)
        return found

    def power(self, held_out: np.ndarray) -> list[dict]:
        """How often each statistic sees a fault, on the side where it lies."""
        n, tests = (8, 2) if self.quick else (128, 20)
        unit = held_out / 255
        faults = [("nothing", 0.0), *(("blur", b) for b in BLURS), *(("noise", b) for b in NOISES),
                  *(("copies", b) for b in COPIES)]  # fmt: skip
        found = []
        for fault, amount in faults:
            for space in ("pixels", "features"):
                seen = {s: 0 for s in calibrated.STATISTICS}
                for turn in range(tests):
                    rng = np.random.default_rng([turn])
                    order = rng.permutation(len(unit))
                    x, y = unit[order[:n]].copy(), unit[order[n : 3 * n]]
                    if fault == "blur":
                        x = blurred(x, amount)
                    elif fault == "noise":
                        x = x + rng.standard_normal(x.shape) * amount / 255
                    elif fault == "copies":  # a little noise, or a rounding would be what is found
                        x[: round(amount * n)] = y[: round(amount * n)]
                        x = x + rng.standard_normal(x.shape) * 0.5 / 255
                    rows = calibrated.spaces([rounded(x), rounded(y)])[space]
                    side = {"nothing": ("too far", "too close"), "copies": ("too close",)}.get(
                        fault, ("too far",)
                    )
                    for s, v in calibrated.calibrated(*rows, permutations=100, seed=turn).items():
                        seen[s] += v.verdict() in side
                found += [
                    {
                        "fault": fault,
                        "amount": amount,
                        "space": space,
                        "statistic": s,
                        "tests": tests,
                        "seen": k,
                    }
                    for s, k in seen.items()
                ]
        return found

    def flow(self) -> dict:
        """Inversion by scale of the conditional denoisers and of what they are held against; likelihood."""
        book, n = self.book, self.count
        given = book.settings.sampler
        ladder = flow.levels(given["sigma_max"], given["sigma_min"], steps=8 if self.quick else 32)
        shape = (1, self.profile.image_size, self.profile.image_size)
        z = noise(seeded(range(5_000_000, 5_000_000 + n)), shape)
        axes = fit_gaussian(book.dataset.images[book.split().validation]).components.double().numpy()
        inversion, bits = [], []
        control = book.networks(book.control())["net"]
        for N in book.sizes:
            a, b = (book.networks(t)["net"] for t in book.pair(N))
            x = flow.decode(a, z, book.start, ladder)
            z_a = flow.encode(a, x, book.start, ladder)
            linear = fit_gaussian(book.images(book.pair(N)[1]))
            others = {"B": b, "other galaxies": control, "Gaussian of B's images": linear}
            for name, denoise in others.items():
                found = flow.inverted(z, z_a, flow.encode(denoise, x, book.start, ladder), axes)
                inversion += [
                    {"N": N, "who": name, "scale": scale, "echo": t.echo, "floor": t.floor, "null": t.null}
                    | {"w1": vars(t.w1), "correlation": vars(t.correlation)}
                    for scale, t in found.items()
                ]
            bits += self.bits(N, {"conditional diffusion": (a, b)}, ladder)
        return {"n": n, "steps": len(ladder), "inversion": inversion, "bits": bits,
                "exact": self.exact(ladder)}  # fmt: skip

    def bits(self, N: int, models: dict, ladder: list[float]) -> list[dict]:
        """Bits/dim of A's training images and of held-out ones, and A's memory, beside Glow's."""
        book, glow = self.book, self.families["glow"]
        rows = {"training": book.split(N).A[: self.count], "held out": book.split(N).validation[: self.count]}
        if N in glow.sizes and all(map(glow.trained, glow.pair(N))):
            models = models | {"Glow": tuple(glow.networks(t)["net"] for t in glow.pair(N))}
        found = []
        for name, pair in models.items():
            costs = {}
            for which, places in rows.items():
                images = book.dataset.images[places]
                if name == "Glow":
                    costs[which] = [likelihood.bits_per_dim(m, images, places.tolist()) for m in pair]
                    continue
                u = torch.stack([torch.rand(images.shape[1:], generator=g) for g in seeded(places)])
                x = (torch.from_numpy(images).float() + u - 0.5) / 255
                d, options = x[0].numel(), {"seeds": places.tolist()}
                costs[which] = [
                    flow.grey_bits(flow.log_density(m, x, book.start, ladder, **options), d) for m in pair
                ]
            gap = likelihood.gap(*(a - b for a, b in costs.values()))
            record = {"N": N, "model": name, "gap": vars(gap)}
            found.append(record | {which: float(np.mean(a)) for which, (a, _) in costs.items()})
        return found

    def exact(self, ladder: list[float]) -> dict:
        """The likelihood of a Gaussian by its flow, beside its formula: what the steps and the probes cost."""
        book = self.book
        g = fit_gaussian(book.dataset.images[book.split().A])
        x = torch.from_numpy(book.dataset.images[book.split().validation[: self.count]]).float() / 255
        v = g.variances.double()
        full = torch.cat([v, v.new_zeros(x[0].numel() - len(v))])
        ends = ladder[0] ** 2 * (full + ladder[-1] ** 2) / (full + ladder[0] ** 2)
        u = ((x - g.mean).flatten(1) @ g.components.T).double()
        rest = (x - g.mean).flatten(1).double().square().sum(1) - u.square().sum(1)
        norm = (u.square() / ends[: len(v)]).sum(1) + (rest / ends[-1] if len(v) < len(full) else 0)
        known = (-0.5 * (norm + (2 * np.pi * ends).log().sum())).numpy()
        # the flow of a Gaussian begins at its mean, which the network's does not
        told = flow.log_density(g, x, g.mean, ladder, seeds=range(len(x)))
        bits = (told - known) / (x[0].numel() * np.log(2))
        return {"known": float(np.mean(flow.grey_bits(known, x[0].numel()))), "error": float(bits.mean()),
                "sd": float(bits.std()), "n": len(x)}  # fmt: skip

    def jacobian(self) -> dict:
        """Eigen-images of the book's denoisers; effective rank and overlap over N of the small ones."""
        book, N = self.book, self.book.sizes[-1]
        place = book.split().validation[3]
        image, sheets = torch.from_numpy(np.array(book.dataset.images[place])).float() / 255, []
        pair = {
            f"{m}, N = {n}": book.networks(t)["net"]
            for n in book.sizes
            for m, t in zip("AB", book.pair(n), strict=True)
        }
        pair |= {
            "other galaxies": book.networks(book.control())["net"],
            "Gaussian": fit_gaussian(book.images(book.pair(N)[0])),
        }
        for sigma in SIGMAS:
            y = image + sigma * noise(seeded([7]), image.shape)[0]
            for name, denoise in pair.items():
                found = jacobian.leading(denoise, y, sigma, 6)
                with torch.inference_mode():
                    mean = denoise(y[None], torch.tensor([sigma]))
                signs = np.sign(found.vectors.sum((1, 2, 3), keepdims=True))
                scaled = found.vectors * signs / np.abs(found.vectors).max((1, 2, 3), keepdims=True)
                pictures = np.concatenate(
                    [image[None].numpy(), y[None].numpy(), mean.numpy(), 0.5 + scaled / 2]
                )
                sheets.append({"sigma": sigma, "model": name, "values": found.values.tolist(),
                               "asymmetry": found.asymmetry, "strip": strip(np.clip(pictures, 0, 1))})  # fmt: skip
        return {"sheets": sheets, "overlap": self.overlaps(), "kept": KEPT, "pixels": SIDE**2}

    def overlaps(self) -> list[dict]:
        """Of the small networks, at held-out galaxies with noise: means over these, and each value."""
        some = self.images[np.random.default_rng(1).permutation(self.rows)[-(2 if self.quick else 6) :]]
        x, found, width = torch.from_numpy(some).float() / 255, [], CELL[1]
        foreign = self.net(self.other[: SIZES[-1]], width, 900)["net"]
        for N in SIZES:
            A, B = self.halves(N)
            a, b = self.net(A, width, 0)["net"], self.net(B, width, 1)["net"]
            against = {"B": b, "other galaxies": foreign, "Gaussian": fit_gaussian(B)}
            for sigma in SIGMAS:
                y = x + sigma * noise(seeded(range(len(x))), x.shape[1:])
                own = [jacobian.full(a, each, sigma) for each in y]
                for name, denoise in against.items():
                    theirs = [jacobian.full(denoise, each, sigma) for each in y]
                    pairs = list(zip(own, theirs, strict=True))
                    apart = list(zip(own, theirs[1:] + theirs[:1], strict=True))
                    shared, null = (
                        [jacobian.overlap(u.vectors[:KEPT], v.vectors[:KEPT]) for u, v in each]
                        for each in (pairs, apart)
                    )
                    record = {"N": N, "sigma": sigma, "with": name, "overlap": shared, "null": null}
                    record |= {"rank": [s.rank for s in theirs], "own rank": [s.rank for s in own]}
                    found.append(record | {"asymmetry": [s.asymmetry for s in own]})
        return found

    def maps(self) -> dict:
        """Distances of maps over N and width; and how much of an agreement a network of Gaussians has."""
        found, foreign = (
            [],
            {w: self.drawn(self.net(self.other[: SIZES[-1]], w, 900)["net"], w) for w in WIDTHS},
        )
        for N in SIZES:
            A, B = self.halves(N)
            known = {"A-Gaussian": fit_gaussian(A), "A-empirical": Empirical(A)}
            known = {name: self.drawn(denoise) for name, denoise in known.items()}
            lines = self.drawn(fit_gaussian(B)), self.drawn(Empirical(B))
            pairs = {("Gaussians", None): (known["A-Gaussian"], lines[0])}
            pairs[("empirical denoisers", None)] = known["A-empirical"], lines[1]
            for width in WIDTHS:
                a, b = (self.drawn(self.net(part, width, k)["net"], width) for k, part in enumerate((A, B)))
                pairs[("A-B", width)] = a, b
                pairs |= {(name, width): (a, other) for name, other in known.items()}
                pairs[("A-other galaxies", width)] = a, foreign[width]
            for (name, width), two in pairs.items():
                for scale, d in maps.map_distance(*two, self.galaxies).items():
                    record = {"N": N, "width": width, "pair": name, "scale": scale}
                    found.append(record | {"value": vars(d.value), "null": d.null})
        weights = {
            str(w): sum(p.numel() for p in self.family(w).networks()["net"].parameters()) for w in WIDTHS
        }
        return {"distances": found, "weights": weights, "pixels": SIDE**2, "shown": SHOWN,
                "latents": self.latents, "content": self.content()}  # fmt: skip

    def content(self) -> list[dict]:
        """A network trained on draws of the Gaussian of A's images beside A and B, at two N."""
        found, width = [], CELL[1]
        for N in SIZES[-2:]:
            A, B = self.halves(N)
            g = fit_gaussian(A)
            fake = (g.draw(range(4_000_000, 4_000_000 + max(N, 16))).clamp(0, 1) * 255).round().byte().numpy()
            trained = self.drawn(self.net(fake, width, 2)["net"], width)
            a, b = (self.drawn(self.net(part, width, k)["net"], width) for k, part in enumerate((A, B)))
            exact = self.drawn(g)
            shares = maps.network_share(a, b, exact, trained, self.galaxies)
            for scale, share in shares.items():
                two = {"A-B": (a, b), "A-network of Gaussian": (a, trained), "A-Gaussian": (a, exact),
                       "network of Gaussian-Gaussian": (trained, exact)}  # fmt: skip
                record = {"N": N, "scale": scale, "share": vars(share)}
                for name, pair in two.items():
                    record[name] = vars(maps.map_distance(*pair, self.galaxies)[scale].value)
                found.append(record)
        return found

    def seeds(self) -> dict:
        """Agreement at one cell, for three splits times three trainings."""
        N, width = CELL
        table = []
        for turn in range(3):
            halves = self.halves(N, turn)
            for k in range(3):
                first = 100 * turn + 10 * k if turn or k else 0  # the first is the pair of `maps`
                a, b = (
                    self.drawn(self.net(part, width, first + i)["net"], width)
                    for i, part in enumerate(halves)
                )
                table.append(similarity.cosine(a, b, kind="anomaly", mean=self.mean))
        table = np.array(table).reshape(3, 3, -1)
        found = {name: vars(value) for name, value in seeds.components(table).items()}
        return {"N": N, "width": width, "components": found, "means": table.mean(2).tolist()}


def main() -> None:
    """Answer, and put it into results/beyond.json beside what is there of other data and parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--parts", nargs="+", default=["distances", "flow", "jacobian", "maps", "seeds"])
    parser.add_argument("--out", type=Path, default=project() / "results" / "beyond.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.profile == "smoke":
        globals().update(SMOKE)
    parameters = checked(Parameters, {"profile": given.profile, "data": given.data}, "parameters")
    bench = Bench(parameters, given.profile == "smoke")
    wanted = [model for N in bench.book.sizes for model in bench.book.pair(N)]
    bench.book.ensure([*wanted, bench.book.control()])
    for part in given.parts:
        began = time.process_time()
        found = getattr(bench, part)()
        found |= {"profile": given.profile, "date": datetime.datetime.now(datetime.UTC).date().isoformat()}
        found |= {"minutes": round((time.process_time() - began) / 60, 1)} | provenance()
        known = read_json(given.out) if given.out.is_file() else {}
        name = bench.book.dataset.name
        write_json(given.out, known | {name: known.get(name, {}) | {part: found}})
        print(f"{name}, {part}: {found['minutes']} minutes of a core", flush=True)


if __name__ == "__main__":
    main()
