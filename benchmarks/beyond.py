r"""Questions that the paper did not ask, once for a data set, into results/beyond.json; the book shows them.

    make beyond                          on simulated galaxies
    make beyond DATA=path/to/galaxies    on others

    distances   calibrated two-sample distances: of controls and of the models of a book, over the number of
                draws of a memorizer, and their power                        (`galgen.compare.calibrated`)
    flow        inversion, and likelihood of a book's conditional denoisers  (`galgen.compare.flow`)
    jacobian    eigen-images of these, and by N those of small networks      (`galgen.compare.jacobian`)
    maps        distance of the maps of small networks over N and width, and how much of an agreement a
                network of Gaussian draws has                                (`galgen.compare.maps`)
    seeds       three splits times three trainings of one cell               (`galgen.compare.seeds`)

The small networks (`small_networks.py`) are trained here, once, and kept in the store. Of the book's models
the conditional denoisers are trained if the store lacks them; distances are asked of all that it has.
"""

import argparse
import datetime
import time
from pathlib import Path

import numpy as np
import torch
from small_networks import KEPT, SIDE, SIGMAS, SMOKE, Sizes, Small

from galgen.compare import calibrated, flow, jacobian, likelihood
from galgen.compare.controls import blurred, controls, rounded
from galgen.compare.gaussian import fit_gaussian
from galgen.compare.morphology import stored
from galgen.config import Parameters, spaced
from galgen.experiment import every_family
from galgen.figures.results import strip
from galgen.models import sampling
from galgen.models.sampling import noise, seeded
from galgen.runs.errors import checked
from galgen.runs.files import project, read_json, write_json
from galgen.runs.provenance import provenance
from galgen.runs.store import Store

BLURS, NOISES, COPIES = (0.3, 0.5, 0.8), (2.0, 4.0, 8.0), (0.1, 0.3, 1.0)


class Bench:
    """The galaxies and models of one data set.

    Args:
        parameters: Profile, data and seed.
        quick: Everything small, to see that it runs.
    """

    def __init__(self, parameters: Parameters, quick: bool):
        self.families = every_family(parameters, studies=True)
        self.store, self.quick = Store(), quick
        self.book = self.families["conditional"]
        self.profile = self.book.profile
        self.count = 8 if quick else 32
        self.small = Small(self.families["clock8"], SMOKE if quick else Sizes())
        self.maps, self.seeds = self.small.maps, self.small.seeds

    def distances(self) -> dict:
        """Calibrated distances of controls and models; over the draws of a memorizer; and their power."""
        first, n = self.families["diffusion"], min(self.profile.samples, self.profile.validation // 3)
        split, images = first.split(), first.dataset.images
        measure = lambda part: stored(self.store, part, progress=False)  # noqa: E731
        made = controls(images, split, n)
        held_out = images[split.validation]
        train = images[split.A]
        some = np.random.default_rng(0).permutation(len(train))[:n]
        sets = {name: (pair[0], len(split.A), train) for name, pair in made.pairs.items()}
        sets |= {"training images": (rounded(train[some]), len(split.A), train)}
        for family in ("diffusion", "conditional", "glow", "gan"):
            experiment = self.families[family]
            for N in experiment.sizes:
                model = experiment.pair(N)[0]
                if experiment.trained(model):
                    samples = rounded(experiment.samples(model)[:n], experiment.family.bits)
                    name = f"{experiment.family.label}, N = {spaced(N)}"
                    sets[name] = (samples, N, experiment.images(model))
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
        ladder = sampling.ladder(**book.settings.sampler | {"steps": 8 if self.quick else 32})
        shape = (1, self.profile.image_size, self.profile.image_size)
        z = noise(seeded(range(5_000_000, 5_000_000 + n)), shape)
        axes = fit_gaussian(book.dataset.images[book.split().validation]).components.double().numpy()
        inversion, bits = [], []
        control = book.networks(book.foreign()[0])["net"]
        for N in book.sizes:
            a, b = (book.networks(t)["net"] for t in book.pair(N))
            x = flow.decode(a, z, book.start, ladder)
            z_a = flow.encode(a, x, book.start, ladder)
            linear = fit_gaussian(book.images(book.pair(N)[1]))
            others = {"B": b, "other galaxies": control, "Gaussian of B's images": linear}
            for name, denoise in others.items():
                found = flow.inverted(z, z_a, flow.encode(denoise, x, book.start, ladder), axes)
                inversion += [
                    {
                        "N": N,
                        "who": name,
                        "scale": scale,
                        "echo": t.w1_a.value,
                        "floor": t.floor,
                        "null": t.correlation_null,
                    }
                    | {"w1": vars(t.w1_b), "correlation": vars(t.correlation)}
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
        """The likelihood of a Gaussian by its flow, beside its formula: what steps and probes cost."""
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
        told, known = (flow.grey_bits(part, x[0].numel()) for part in (told, known))
        return {"known": float(known.mean()), "error": float((told - known).mean()),
                "sd": float((told - known).std()), "n": len(x),
                "resolution": flow.resolution(told, known)}  # fmt: skip

    def jacobian(self) -> dict:
        """Eigen-images of the book's denoisers; effective rank and overlap over N of the small ones."""
        book, N = self.book, self.book.sizes[-1]
        place = book.split().validation[3]
        image, sheets = torch.from_numpy(np.array(book.dataset.images[place])).float() / 255, []
        pair = {
            f"{m}, N = {spaced(n)}": book.networks(t)["net"]
            for n in book.sizes
            for m, t in zip("AB", book.pair(n), strict=True)
        }
        pair |= {
            "other galaxies": book.networks(book.foreign()[0])["net"],
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
                record = {"sigma": sigma, "model": name, "values": found.values.tolist()}
                record |= {"asymmetry": found.asymmetry, "strip": strip(np.clip(pictures, 0, 1))}
                sheets.append(record)
        return {"sheets": sheets, "overlap": self.small.overlaps(), "kept": KEPT, "pixels": SIDE**2}


def main() -> None:
    """Answer, and put it into results/beyond.json beside what is there of other data and parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="auto", help="of the book's trainings")
    parser.add_argument("--N", type=int, nargs="+")
    parser.add_argument("--parts", nargs="+", default=["distances", "flow", "jacobian", "maps", "seeds"])
    parser.add_argument("--out", type=Path, default=project() / "results" / "beyond.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    asked = {name: getattr(given, name) for name in ("profile", "data", "seed", "precision", "N")}
    parameters = checked(Parameters, asked, "parameters")
    bench = Bench(parameters, given.profile == "smoke")
    wanted = [model for N in bench.book.sizes for model in bench.book.pair(N)]
    bench.book.ensure([*wanted, bench.book.foreign()[0]])
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
