import pickle

import pytest
import torch
from safetensors.torch import save_file

from galgen.models.unet import UNet
from galgen.runs import checkpoint
from galgen.runs.errors import GalgenError


def test_checkpoint_round_trip_is_exact(tmp_path):
    net = UNet(2, 1).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(net.parameters(), lr=0.1, fused=True)
    net(torch.rand(2, 1, 8, 8)).sum().backward()
    adam.step()
    state = {
        "net": net.state_dict(),
        "adam": adam.state_dict(),
        "types": [
            torch.tensor([float("nan"), -0.0, 1e-45]),
            torch.arange(3, dtype=torch.uint8),
            torch.tensor([1.0, 3.14], dtype=torch.bfloat16),
            torch.tensor(True),
            torch.empty(0, 2),
            torch.rand(4, 6)[:, ::2],
        ],
        "json": {"a": [1, 2.5, None, True, "é"], 3: (0.1 + 0.2, {}), "": []},
    }
    checkpoint.save(tmp_path / "c.safetensors", state)
    back = checkpoint.load(tmp_path / "c.safetensors")

    def check(a, b):
        assert type(a) is type(b) or isinstance(a, dict)
        if isinstance(a, torch.Tensor):
            assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride())
            raw = [t.contiguous().flatten().view(torch.uint8) for t in (a, b)]
            assert torch.equal(*raw)
        elif isinstance(a, dict):
            assert list(a) == list(b)
            for key in a:
                check(a[key], b[key])
        elif isinstance(a, list | tuple):
            assert len(a) == len(b)
            for x, y in zip(a, b, strict=True):
                check(x, y)
        else:
            assert a == b

    check(state, back)
    other = torch.optim.Adam(net.parameters(), lr=0.5, fused=True)
    other.load_state_dict(back["adam"])
    check(adam.state_dict(), other.state_dict())


def test_damaged_or_foreign_files_are_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    with pytest.raises(GalgenError, match="there is no checkpoint"):
        checkpoint.load(path)
    checkpoint.save(path, {"x": torch.rand(1000)})
    whole = path.read_bytes()
    save_file({"x": torch.rand(3)}, tmp_path / "foreign")
    for damaged in (whole[: len(whole) // 2], pickle.dumps({"x": 1}), (tmp_path / "foreign").read_bytes()):
        path.write_bytes(damaged)
        with pytest.raises(GalgenError, match="not a whole checkpoint of galgen"):
            checkpoint.load(path)


def test_write_that_breaks_off_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, {"x": torch.arange(5)})

    def full(tensors, name, metadata):
        name.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, {"x": torch.zeros(5)})
    assert torch.equal(checkpoint.load(path)["x"], torch.arange(5))
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]
