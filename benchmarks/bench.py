"""Benchmark training steps, sampling, search, morphology and simulation against public peers, on one core.

    make bench, which is: python benchmarks/bench.py [--out results/bench.json] [--only diffusion glow]

The two codes alternate, so that other load slows both. Times are processor times: the ratio is the median
over pairs, with quartiles; a time is the minimum. FLOPs are counted (`galgen.costs`); their share is relative
to the rate of a float32 matrix product between the rounds. In rows that end in `-bf16`, both use bfloat16.
Quality compares optimizers: Adam trains the blind denoiser of the profile `laptop`, and so does Muon with
several budgets of images, each with a cosine schedule, in both precisions. The ratio is the time of Adam over
the shortest time in which Muon reaches the final validation PSNR of Adam at sigma = 0.1: in the same
precision, and for Muon in bfloat16 against Adam in float32.
"""

import argparse
import copy
import itertools
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import peers
import torch

from galgen import costs
from galgen.compare.denoising import denoising_curve
from galgen.compare.morphology import measure
from galgen.compare.similarity import nearest
from galgen.data.simulate.images import simulate
from galgen.experiment import Experiment
from galgen.models.precision import Precision
from galgen.models.sampling import dpm_solver_2m, from_residual, noise_schedule
from galgen.models.unet import UNet
from galgen.profiles import PROFILES, Parameters
from galgen.runs.files import read_json, write_json
from galgen.runs.schedules import cosine
from galgen.runs.store import provenance

Step = Callable[[], object]
SIDE = 1024  # rows and columns of the matrix product


def rate(rounds: int = 3) -> float:
    """Rate of a float32 matrix product, in FLOP/s."""
    a = torch.rand(SIDE, SIDE)
    return 2 * SIDE**3 / min(spent(lambda: a @ a) for _ in range(3 + rounds))


def spent(step: Step) -> float:
    """Processor time of a call, in seconds."""
    began = time.process_time()
    step()
    return time.process_time() - began


def race(ours: Step, theirs: Step, *, rounds: int = 9, scale: float = 1.0, flops: float = 0.0) -> dict:
    """Time two alternating steps; `scale` is the ratio of work per call, `flops` the work of ours."""
    for step in (ours, theirs, ours, theirs):
        step()  # fill caches and run lazy initialization
    pairs, peak = [], rate()
    for _ in range(rounds):
        pairs.append((spent(ours), scale * spent(theirs)))
        peak = max(peak, rate(1))
    one, other = (min(times) for times in zip(*pairs, strict=True))
    low, middle, high = np.quantile([b / a for a, b in pairs], (0.25, 0.5, 0.75))
    found = {"ours_s": one, "theirs_s": other, "ratio": middle}
    found["quartiles"] = [low, high] if rounds > 3 else None
    return found | {"gflops": flops / one / 1e9 or None, "share": flops / one / peak or None}


def learner(
    family: str, profile: str, batch: int, precision: Precision = "fp32", **settings: object
) -> tuple[object, torch.Tensor, Experiment]:
    """Learner with untrained networks, a batch of images (batch, 1, H, W), and the experiment."""
    experiment = Experiment(Parameters(profile=profile), family=family)
    experiment.family.settings = experiment.settings.model_copy(update=settings | {"batch_size": batch})
    side = experiment.images.size
    images = np.random.default_rng(0).integers(0, 256, (max(batch, 32), 1, side, side), np.uint8)
    networks, given = experiment._networks(0), experiment.family.settings
    made = experiment.family.learner(networks, images, images[:8], given, "cpu", precision)
    return made, torch.from_numpy(images[:batch]).float() / 255, experiment


def step_of(
    family: str,
    peer: Callable[..., Step],
    profile: str = "laptop",
    *,
    batch: int = 16,
    rounds: int = 9,
    precision: Precision = "fp32",
    **settings: object,
) -> dict:
    """Compare a training step with that of a peer on the same images, settings and precision."""
    made, images, experiment = learner(family, profile, batch, precision, **settings)
    work = batch * costs.of_step(made, images[:2], batch)[0]
    generator, theirs = torch.Generator().manual_seed(0), peer(images, experiment)

    def in_precision() -> object:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return theirs()

    found = race(lambda: made.step(images, generator, 1.0), in_precision, rounds=rounds, flops=work)
    return found | {"unit": f"a step of {batch} images of {experiment.images.size} pixels"}


def _plain(images: torch.Tensor, experiment: Experiment) -> Step:
    nets = copy.deepcopy(experiment._networks(0))
    if hasattr(nets["net"], "initialize"):
        nets["net"].initialize((images * 255).byte().numpy())
    return peers.denoiser(nets["net"], images)


def _normflows(images: torch.Tensor, experiment: Experiment) -> Step:
    given = experiment.family.settings
    return peers.glow(images.shape[-1], given.steps, given.levels, given.width, given.bits, images)


def _package(attention: bool) -> Callable[..., Step]:
    def peer(images: torch.Tensor, experiment: Experiment) -> Step:
        widths = {"generator": {"fmap_max": 64, "fmap_inverse_coef": 9}}
        widths["discriminator"] = {"fmap_max": 128, "fmap_inverse_coef": 10}
        return peers.gan(experiment.family.settings.latent, images, attention=attention, **widths)

    return peer


def sampling(count: int = 256, alone: int = 2) -> dict:
    """Compare batched sampling with the paper's loop over single images, with untrained networks."""
    torch.manual_seed(0)
    given, calls = PROFILES["laptop"].diffusion, itertools.count()
    net = UNet(given.base_channels).eval()
    ours = copy.deepcopy(net).to(memory_format=torch.channels_last)
    start, scale = torch.full((1, 32, 32), 0.05), count / alone

    def many() -> object:
        def f(y: torch.Tensor) -> torch.Tensor:
            return y + 0 * ours(y.contiguous(memory_format=torch.channels_last))

        return dpm_solver_2m(from_residual(f), start, range(count), noise_schedule(**given.sampler))

    def plain(y: torch.Tensor) -> torch.Tensor:
        next(calls)
        return y + 0 * net(y)

    def one() -> object:
        return [peers.sample(plain, start, seed) for seed in range(alone)]

    found = race(many, one, rounds=1, scale=scale)
    theirs = next(calls) / (3 * alone)  # two warm-up rounds and the timed one
    unit = f"{count} samples of 32 pixels, {given.sampler_steps} calls each, the peer's some {theirs:.0f}"
    return found | {"unit": unit}


def search(queries: int = 1000, count: int = 100_000, side: int = 64, alone: int = 2) -> dict:
    """Compare the search for nearest images, including flips, with a loop over queries."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, 1, side, side))
        for i in range(0, count, 4096):
            images[i : i + 4096] = rng.integers(0, 256, images[i : i + 4096].shape, dtype=np.uint8)
        wanted = torch.from_numpy(images[:queries].astype(np.float32) / 255)
        part = np.array(images[:5000])
        ours = spent(lambda: nearest(wanted, images, kind="raw", flips=True))
        theirs = spent(lambda: peers.nearest(part[:alone], part)) * queries / alone * count / len(part)
    work = 8 * queries * count * side**2
    found = {"ours_s": ours, "theirs_s": theirs, "ratio": theirs / ours, "quartiles": None}
    found |= {"gflops": work / ours / 1e9, "share": work / ours / rate()}
    return found | {"unit": f"{queries} queries, {count} images of {side} pixels, four flips"}


def shapes(count: int = 24) -> dict:
    """Compare morphology measurements with a loop of statmorph."""
    images = simulate(count, size=64)[0] / 255
    ours = partial(measure, images, workers=1, progress=False)
    found = race(ours, partial(peers.morphology, images), rounds=2)
    return found | {"unit": f"{count} galaxies of 64 pixels"}


def galaxies(count: int = 64) -> dict:
    """Compare the simulation with bulges and discs of GalSim."""
    found = race(lambda: simulate(count), lambda: peers.simulate(count), rounds=3)
    return found | {"unit": f"{count} galaxies of 64 pixels, averaged to 32"}


def quality(images_shown: int, budgets: list[int]) -> dict:
    """Time of Muon to reach the final validation PSNR of Adam, for the blind denoiser of `laptop`."""
    experiment = Experiment(Parameters())
    sets, given = experiment.images.split(), experiment.settings
    galaxies = experiment.images.dataset.images
    images, held_out = galaxies[sets.A], galaxies[sets.validation][:1000]
    adam, racers = given.model_copy(update={"optimizer": "adam", "batch_size": 8}), {}
    for precision in ("fp32", "bf16"):
        racers["adam", precision, images_shown] = adam
        racers |= {("muon", precision, budget): given for budget in budgets}
    states = {}
    for key, settings in racers.items():
        made = experiment.family.learner(experiment._networks(0), images, held_out, settings, "cpu", key[1])
        states[key] = [made, np.random.default_rng(0), 0, 0.0]
    for share in np.linspace(0.01, 1, 100):  # in turn, so that other load affects all alike
        for key, state in states.items():
            (made, rows, shown, seconds), began = state, time.process_time()
            batch, budget = racers[key].batch_size, key[2]
            while shown < share * budget:
                x = torch.from_numpy(images[rows.integers(len(images), size=batch)]).float() / 255
                made.step(x, torch.Generator().manual_seed(shown), cosine(shown, budget))
                shown += batch
            state[2:] = shown, seconds + time.process_time() - began
    races = []
    for (optimizer, precision, budget), (made, _, _, seconds) in states.items():
        net = made.net.eval()
        psnr = denoising_curve(experiment.family.denoiser({"net": net}), held_out, [0.1]).denoised
        record = {"optimizer": optimizer, "precision": precision, "images": budget, "seconds": seconds}
        races.append(record | {"psnr": float(np.median(psnr))})

    def ratio(theirs: Precision, ours: Precision) -> float | None:
        (stated,) = (each for each in races if (each["optimizer"], each["precision"]) == ("adam", theirs))
        muon = [each for each in races if (each["optimizer"], each["precision"]) == ("muon", ours)]
        times = [each["seconds"] for each in muon if each["psnr"] >= stated["psnr"]]
        return stated["seconds"] / min(times) if times else None

    ratios = {"ratio": ratio("fp32", "fp32"), "ratio_bf16": ratio("bf16", "bf16")}
    return {"races": races, "psnr": races[0]["psnr"]} | ratios | {"ratio_mixed": ratio("fp32", "bf16")}


LOOP = "plain eager loop"
FLOW = {"optimizer": "adam", "steps": 4, "deepening": 0, "bits": 5}
of_blind = partial(step_of, "diffusion", _plain)
of_conditional = partial(step_of, "conditional", _plain, optimizer="adam")
of_flow = partial(step_of, "glow", _normflows, **FLOW)
of_gan = partial(step_of, "gan", _package(False), batch=8, rounds=8)
of_whole_gan = partial(step_of, "gan", _package(True), batch=8, rounds=2)

# The rows: what is measured, the peer, the goal, the measurement.
ROWS: dict[str, tuple[str, str, float, Callable[..., dict]]] = {
    "diffusion-adam": (
        "blind denoiser, laptop, Adam in both",
        LOOP,
        2.0,
        partial(of_blind, optimizer="adam"),
    ),
    "diffusion": ("blind denoiser, laptop, Muon as trained", f"{LOOP}, Adam", 1.0, of_blind),
    "diffusion-paper": ("blind denoiser, paper", LOOP, 1.3, partial(of_blind, "paper", batch=8, rounds=2)),
    "conditional": ("conditional denoiser, laptop, Adam in both", LOOP, 2.0, of_conditional),
    "glow": ("Glow, K = 4, L = 3, width 64", "normflows", 2.0, of_flow),
    "gan": ("GAN, laptop", "lightweight-gan without attention", 3.0, of_gan),
    "gan-whole": ("GAN, laptop", "lightweight-gan with attention, unlike ours", 3.0, of_whole_gan),
    "sampling": ("samples", "the paper's loop, one at a time", 20.0, sampling),
    "search": ("nearest image", "numpy, one query at a time, extrapolated", 10.0, search),
    "morphology": ("five coefficients", "statmorph's loop", 1.0, shapes),
    "simulation": ("galaxies with arms, bars, knots, dust", "GalSim, bulge and disc alone", 1.0, galaxies),
}
for name in ("diffusion", "diffusion-paper", "conditional", "glow"):
    what, peer, goal, step = ROWS[name]
    in_bf16 = partial(step, precision="bf16")
    ROWS[f"{name}-bf16"] = f"{what}, bfloat16", f"{peer}, bfloat16", goal, in_bf16


def main() -> None:
    """Run the benchmarks, print each row and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="results of other rows in this file are preserved")
    parser.add_argument("--only", nargs="*", choices=[*ROWS, "quality"], default=[*ROWS, "quality"])
    parser.add_argument("--images", type=int, default=72_000, help="images shown to Adam, for `quality`")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = read_json(args.out) if args.out and args.out.is_file() else {"rows": {}}
    for name in args.only:
        began = {"load": os.getloadavg()[0], "date": time.strftime("%Y-%m-%d", time.gmtime())}
        if name == "quality":
            found[name] = quality(args.images, [args.images * share // 36 for share in (12, 14, 18)]) | began
            print(found[name], flush=True)
        else:
            what, peer, goal, measured = ROWS[name]
            row = found["rows"][name] = {"what": what, "peer": peer, "goal": goal, **began} | measured()
            share = f", {row['share']:.0%} of the peak" if row["share"] else ""
            unit = f"{row['unit']} {row['ours_s']:.3g} s"
            print(f"{what} | {peer}: {row['ratio']:.2f} (goal {goal:g}){share}; {unit}", flush=True)
        found |= provenance() | {"matrix_gflops": rate() / 1e9}
        if args.out:
            write_json(args.out, found)


if __name__ == "__main__":
    main()
