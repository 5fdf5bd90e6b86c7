import json
import os
import random
import re
import signal
import time

import numpy as np
import pytest
import torch

from galgen.models import muon
from galgen.models.diffusion import DenoiserLearner
from galgen.models.unet import UNet
from galgen.profiles import DiffusionSettings
from galgen.runs import checkpoint, progress
from galgen.runs.batches import BatchSampler
from galgen.runs.checkpoint import read_losses
from galgen.runs.errors import Damaged, GalgenError
from galgen.runs.schedules import constant, cosine, falling, halving, late, log_spaced
from galgen.runs.training import train

torch.set_num_threads(1)  # in the processes that are killed, too

KILLS = int(os.environ.get("GALGEN_KILLS", "3"))  # 20 before a release


def images(n=11, side=8):
    return np.random.default_rng(0).integers(0, 256, (n, 1, side, side), dtype=np.uint8)


def learner(init=0, **given):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(init)
        return DenoiserLearner({"net": UNet(2, 1)}, None, None, DiffusionSettings(**given))


def run(directory, model=None, data=None, how=train, **given):
    data = images() if data is None else data
    seen = {"total": 120, "batch_size": 4, "seed_order": 1, "seed_noise": 2, "schedule": cosine}
    seen |= {name: given.pop(name) for name in [*seen, "flips"] if name in given}
    options = {"report_every": 5, "progress": False, **given}
    return how(model or learner(), data, directory, BatchSampler(len(data), **seen), **options)


def weights(directory, shown=120):
    return checkpoint.load_weights(directory / f"weights-{shown}.safetensors")["net"]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Stub:
    """A learner of one number, which records what it is shown and can be told to fail."""

    def __init__(self, fail_at=None, loss=float("nan")):
        self.net = torch.nn.Linear(1, 1)
        self.networks, self.settings, self.limits = {"net": self.net}, {"learning_rate": 0.1}, {"loss": 10.0}
        self.optimizers = {"sgd": torch.optim.SGD(self.net.parameters(), lr=0.1)}
        self.seen, self.rates, self.draws, self.fail_at, self.bad = [], [], [], fail_at, loss

    def step(self, x, noise, rate):
        self.seen.append(x)
        self.rates.append(rate)
        self.draws.append(torch.randn(3, generator=noise))
        bad = self.fail_at is not None and len(self.seen) >= self.fail_at
        return {"loss": torch.tensor(self.bad if bad else 1.0)}


def tiny(directory, ready):
    """Train, in a process of its own."""
    model = learner()
    ready.set()
    options = {"milestones": (37, 500), "report_every": 3, "save_every_seconds": 0.0}
    run(directory, model, total=800, flips=True, **options)


def test_killed_and_resumed_training_is_bit_identical(tmp_path, forks):
    def start(name):
        ready = forks.Event()
        process = forks.Process(target=tiny, args=(tmp_path / name, ready))
        process.start()
        ready.wait()
        return process, time.monotonic()

    process, started = start("whole")
    process.join()
    span = time.monotonic() - started
    chance, kills = random.Random(5), 0
    for _ in range(KILLS):
        process, _ = start("killed")
        time.sleep(chance.uniform(0, 1.5 * span / KILLS))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
    process, _ = start("killed")
    process.join()
    assert process.exitcode == 0
    names = {p.name for p in (tmp_path / "killed").iterdir() if not p.name.startswith(".tmp-")}
    assert names == {p.name for p in (tmp_path / "whole").iterdir()}
    for name in sorted(names - {"checkpoint.pt"}):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    ends = [checkpoint.load(tmp_path / run / "checkpoint.pt") for run in ("whole", "killed")]
    moments = [[v for s in e["optimizers"]["adam"]["state"].values() for v in s.values()] for e in ends]
    assert len(moments[0]) > 10 and all(torch.equal(a, b) for a, b in zip(*moments, strict=True))
    assert kills >= KILLS // 2  # the others came after the end


def test_finished_training_is_not_repeated(tmp_path):
    first, stub = run(tmp_path), Stub()
    assert run(tmp_path) == first
    run(tmp_path / "stub", stub)
    again = Stub()
    run(tmp_path / "stub", again)
    assert len(stub.seen) == 30 and not again.seen


@pytest.mark.parametrize("given", [{"seed_noise": 9}, {"total": 240}, {"schedule": halving}, {"flips": True}])
def test_resume_with_other_settings_is_refused(tmp_path, given):
    run(tmp_path)
    with pytest.raises(GalgenError, match=f"{next(iter(given))} was .* use another folder"):
        run(tmp_path, **given)
    with pytest.raises(GalgenError, match=r"learning_rate was 0\.004, is 0\.1"):
        run(tmp_path, learner(learning_rate=0.1))
    with pytest.raises(GalgenError, match="images was"):
        run(tmp_path, data=images() ^ 1)


def test_each_seed_changes_only_what_it_names(tmp_path):
    def shown(**given):
        stub = Stub()
        run(tmp_path / str(len(list(tmp_path.iterdir()))), stub, **given)
        return torch.stack(stub.seen), torch.stack(stub.draws)

    (x, z), (x1, z1), (x2, z2) = shown(), shown(seed_order=7), shown(seed_noise=7)
    assert torch.equal(z, z1) and not torch.equal(x, x1)
    assert torch.equal(x, x2) and not torch.equal(z, z2)
    equal = shown(seed_order=3, seed_noise=3)
    assert torch.equal(equal[1], shown(seed_noise=3)[1])  # equal numbers do not tie order and noise
    run(tmp_path / "a", learner(0), total=4)
    run(tmp_path / "b", learner(1), total=4)
    assert not same(weights(tmp_path / "a", 4), weights(tmp_path / "b", 4))


def test_noise_is_never_repeated(tmp_path):
    stub = Stub()
    run(tmp_path, stub, total=4000)
    assert len({tuple(d.tolist()) for d in stub.draws}) == 1000


@pytest.mark.parametrize(("N", "batch"), [(11, 4), (3, 8)])
def test_every_image_is_shown_equally_often(tmp_path, N, batch):
    data, stub = images(N), Stub()
    run(tmp_path, stub, data, total=batch * 33, batch_size=batch)
    pixels = torch.from_numpy(data).float() / 255
    stream = torch.cat(stub.seen)
    row = (stream[:, None] - pixels[None]).abs().amax((2, 3, 4)).argmin(1)
    assert torch.equal(stream, pixels[row])
    counts = torch.bincount(row, minlength=N)
    assert counts.max() - counts.min() <= 1
    for epoch in row.split(N)[:-1]:
        assert len(epoch.unique()) == N
    assert not torch.equal(row[:N], row[N : 2 * N]) or N < 11


def test_flips_are_all_four_and_nothing_else(tmp_path):
    data, stub = images(1), Stub()
    run(tmp_path, stub, data, total=400, flips=True)
    x = torch.from_numpy(data).float() / 255
    orbit = torch.cat([x, x.flip(-1), x.flip(-2), x.flip(-1, -2)])
    which = (torch.cat(stub.seen)[:, None] - orbit[None]).abs().amax((2, 3, 4))
    assert (which.min(1).values == 0).all()
    assert torch.bincount(which.argmin(1), minlength=4).min() > 70


def test_milestones_are_the_networks_of_that_moment(tmp_path):
    summary = run(tmp_path, milestones=(1, 50, 120, 5000))
    assert summary["weights"] == [4, 52, 120]
    run(tmp_path / "short", total=52, schedule=halving)
    run(tmp_path / "long", total=120, schedule=halving, milestones=(52,))
    assert same(weights(tmp_path / "short", 52), weights(tmp_path / "long", 52))
    assert not same(weights(tmp_path / "long", 52), weights(tmp_path / "long", 120))


FAULTS = [
    ({"fail_at": 13}, r"step 13: loss is nan.*Lower learning_rate \(0\.1\)"),
    ({"fail_at": 11, "loss": 5000.0}, r"steps 11 to 15: loss diverges, its mean is 5e\+03 \(limit 10\)"),
]


@pytest.mark.parametrize(("fault", "told"), FAULTS)
def test_loss_that_is_no_number_or_diverges_stops_the_run_at_its_last_checkpoint(tmp_path, fault, told):
    with pytest.raises(GalgenError, match=told):
        run(tmp_path, Stub(**fault), save_every_seconds=0.0)
    assert checkpoint.load(tmp_path / "checkpoint.pt")["shown"] == 40
    assert [line["images"] for line in read_losses(tmp_path)] == [20, 40]


def test_network_that_is_no_longer_finite_is_not_saved(tmp_path):
    stub = Stub()
    stub.net.weight.data.fill_(float("inf"))
    with pytest.raises(GalgenError, match=r"net\.weight is not finite after 120 images"):
        run(tmp_path, stub)
    assert not list(tmp_path.glob("*.safetensors"))


def test_log_has_the_mean_of_each_report(tmp_path):
    stub = Stub(fail_at=4, loss=2.0)
    summary = run(tmp_path, stub, total=28)
    assert read_losses(tmp_path) == [{"images": 20, "loss": 7 / 5}, {"images": 28, "loss": 2.0}]
    assert summary["losses"] == {"loss": 2.0} and summary["images_shown"] == 28
    json.dumps(summary, allow_nan=False)


@pytest.mark.parametrize("garbage", ["\0\0\0\n", '{"images": "many"}\n'])
def test_garbage_in_the_log_is_cut_off_behind_the_checkpoint_and_refused_before_it(tmp_path, garbage):
    half, whole = tmp_path / "half", tmp_path / "whole"
    run(whole, Stub())
    with pytest.raises(GalgenError, match="step 18"):
        run(half, Stub(fail_at=18), save_every_seconds=0.0)
    assert checkpoint.load(half / "checkpoint.pt")["shown"] == 60  # of 120 images
    path, log = half / "losses.jsonl", (half / "losses.jsonl").read_text()
    for damaged in (garbage + log, log[: len(log) // 2]):
        path.write_text(damaged)
        with pytest.raises(Damaged, match="cannot be resumed"):
            run(half, Stub())
    path.unlink()
    with pytest.raises(Damaged, match="No such file"):
        run(half, Stub())
    path.write_text(log + garbage)
    run(half, Stub())
    assert path.read_text() == (whole / "losses.jsonl").read_text()
    (half / "checkpoint.pt").unlink()
    path.write_text(garbage)
    run(half, Stub())  # nothing to go on with, so nothing that it spoils
    assert [line["images"] for line in read_losses(half)] == [20, 40, 60, 80, 100, 120]


@pytest.mark.parametrize("name", ["checkpoint.pt", "weights-60.safetensors"])
def test_a_finished_checkpoint_without_whole_weights_is_not_taken_for_a_result(tmp_path, name):
    run(tmp_path, Stub(), milestones=[60])
    path = tmp_path / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Damaged, match=name):
        run(tmp_path, Stub(), milestones=[60])


def test_subnormal_numbers_are_zero_in_training_and_nowhere_else(tmp_path):
    class Tiny(Stub):
        def step(self, x, noise, rate):
            self.seen.append(float(torch.tensor(1e-40) * 1))
            if len(self.seen) == 5:
                raise RuntimeError("ends early")
            return {"loss": torch.tensor(1.0)}

    model = Tiny()
    with pytest.raises(RuntimeError, match="ends early"):
        run(tmp_path, model)
    assert model.seen == [0] * 5 and float(torch.tensor(1e-40) * 1) > 0


def test_momenta_of_filters_that_fell_silent_change_no_weight_once_they_are_subnormal(request):
    request.addfinalizer(lambda: torch.set_flush_denormal(False))  # if it fails, too

    def trained(flushed):
        conv = torch.nn.Conv2d(3, 6, 3, bias=False)
        with torch.no_grad():
            conv.weight.copy_(torch.randn(conv.weight.shape, generator=torch.Generator().manual_seed(0)))
        how, subnormal = muon.Muon(conv.parameters(), lr=0.02), 0
        adam = torch.optim.Adam(conv.parameters(), lr=1e-3)
        torch.set_flush_denormal(flushed)
        for i in range(2200):
            conv.weight.grad = torch.randn(conv.weight.shape, generator=torch.Generator().manual_seed(i))
            conv.weight.grad[:2] *= i < 3
            how.step()
            adam.step()
            state = [*how.state[conv.weight].values(), *adam.state[conv.weight].values()]
            subnormal += sum(int(((0 < s.abs()) & (s.abs() < 1.17e-38)).sum()) for s in state)
        return conv.weight.detach(), subnormal

    (kept, many), (flushed, _) = trained(False), trained(True)
    assert many > 1000 and torch.equal(kept, flushed)


def test_schedules_are_functions_of_images_shown():
    assert cosine(0, 100_000) < 0.01 and cosine(1001, 100_000) == pytest.approx(1, abs=1e-3)
    assert cosine(50_000, 100_000) == pytest.approx(0.5) and cosine(100_000, 100_000) == 0
    assert [halving(n, 1) for n in (0, 24_999_999, 25_000_000, 75_000_000)] == [1, 1, 0.5, 0.125]
    assert [constant(n, 100) for n in (0, 99)] == [1, 1]
    assert falling(0, 10_000) < 0.01 and falling(2000, 10_000) == falling(5000, 10_000) == 1
    assert falling(7500, 10_000) == pytest.approx(0.5) and falling(10_000, 10_000) == 0
    assert [late(n, 1000) for n in (0, 900)] == [1, pytest.approx(1)]
    assert late(950, 1000) == pytest.approx(0.5) and late(1000, 1000) == 0
    assert log_spaced(100, 100_000, 4) == [100, 1000, 10_000, 100_000] and log_spaced(1, 3, 9) == [1, 2, 3]


@pytest.mark.parametrize(("most", "fits"), [(7, 4), (0, 0)])
def test_out_of_memory_is_answered_with_a_batch_that_fits(tmp_path, monkeypatch, most, fits):
    model, step = learner(), DenoiserLearner.step

    def small(self, x, noise, rate):
        if len(x) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(self, x, noise, rate)

    monkeypatch.setattr(DenoiserLearner, "step", small)
    with pytest.raises(GalgenError, match=f"of 16 does not fit into GPU memory, a batch of {fits} does"):
        run(tmp_path, model, batch_size=16, total=96)


def test_in_a_log_a_step_is_one_line_that_fits_a_terminal_with_the_time_that_is_left(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0)
    monkeypatch.setenv("COLUMNS", "80")
    display = progress.Display("gan-N4000-A0-0 (fp32)", 4000)
    for shown in (1000, 4000):
        display.show(shown, {"discriminator": -0.123456, "generator": 1.23456})
    first, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"gan-.* \(fp32\): 25 % of 4.00k images, 00:\d\d left, discriminator .*", first)
    assert "100 % of 4.00k images, 00:00 left" in last and max(len(first), len(last)) < 80
