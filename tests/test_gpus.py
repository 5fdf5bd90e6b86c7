"""Each local job uses one GPU, and each cluster job requests one."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from galbook.build import gpus

ROOT = Path(__file__).parents[1]


@pytest.fixture
def four(monkeypatch, tmp_path):
    """A machine of four GPUs of which this process may use three."""
    seen = lambda: len(os.environ["CUDA_VISIBLE_DEVICES"].split(","))  # noqa: E731
    monkeypatch.setattr(torch.cuda, "device_count", seen)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2,3")
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))


def test_each_job_takes_one_that_no_other_has_and_gives_it_back(four):
    seen, names = [], "0,2,3"
    with gpus.exclusive_gpu():
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
        os.environ["CUDA_VISIBLE_DEVICES"] = names  # what another job sees as it starts
        with gpus.exclusive_gpu():
            seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert seen == ["0", "2"]
    os.environ["CUDA_VISIBLE_DEVICES"] = names
    with pytest.raises(ZeroDivisionError), gpus.exclusive_gpu():
        1 / 0  # noqa: B018
    os.environ["CUDA_VISIBLE_DEVICES"] = names
    with gpus.exclusive_gpu():
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0", "given back also by a job that failed"


def test_where_all_are_taken_a_job_waits(four, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    began = threading.Event()

    def third():
        with gpus.exclusive_gpu():
            began.set()

    thread = threading.Thread(target=third)
    with gpus.exclusive_gpu():
        os.environ["CUDA_VISIBLE_DEVICES"] = "0,2"
        with gpus.exclusive_gpu():
            os.environ["CUDA_VISIBLE_DEVICES"] = "0,2"
            thread.start()
            assert not began.wait(1.5)
        assert began.wait(10)
        thread.join()


@pytest.mark.parametrize("named", [None, "", "1"])
def test_with_one_gpu_or_none_there_is_nothing_to_choose(monkeypatch, named):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(named.split(",")) if named else 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    with gpus.exclusive_gpu():
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == named


def test_on_a_cluster_trainings_and_measurements_ask_for_one_gpu_and_are_queued_again(tmp_path):
    command = [sys.executable, "-m", "snakemake", "-n", "-s", "workflow/Snakefile"]
    command += ["--workflow-profile", "workflow/profiles/slurm", "--quiet", "host"]
    environment = os.environ | {"PROFILE": "smoke", "DATA": "", "N": "8", "SEED": ""}
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    rules = [part for part in (said.stdout + said.stderr).split("\nrule ")[1:]]
    asked = {(part.partition(":")[0], "gres=gpu:1" in part) for part in rules}
    assert {("training", True), ("measured", True), ("chapter", False), ("html", False)} <= asked
    assert "retries: 3" in (ROOT / "workflow/profiles/slurm/config.yaml").read_text()
