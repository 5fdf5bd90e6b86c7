import numpy as np
import pytest
from astropy.table import Table

from galgen.data.dataset import Dataset, dihedral_keys, split, write_dataset
from galgen.runs.errors import GalgenError


def make(directory, images):
    catalogue = Table({"id": [str(i) for i in range(len(images))]})
    about = {"source": "test", "manifest": "local", "parameters": {}, "dropped": {"not finite": 2}}
    return write_dataset(directory, images, catalogue=catalogue, **about)


@pytest.fixture
def noise():
    return np.random.default_rng(1).integers(256, size=(60, 1, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize("name", ["images.npy", "catalogue.ecsv"])
def test_a_changed_byte_is_found(tmp_path, noise, name):
    path = make(tmp_path / "set", noise).directory / name
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(GalgenError, match=name):
        Dataset.open(tmp_path / "set").verify()


@pytest.mark.parametrize("content", [b"", b'{"shape": 1, "sha256": 2}'])
def test_a_damaged_meta_json_is_an_error_that_names_it(tmp_path, noise, content):
    directory = make(tmp_path / "set", noise).directory
    (directory / "meta.json").write_bytes(content)
    with pytest.raises(GalgenError, match=r"meta\.json is damaged .* import it again"):
        Dataset.open(directory)


def test_a_damaged_catalogue_is_an_error_that_names_it(tmp_path, noise):
    dataset = make(tmp_path / "set", noise)
    (tmp_path / "set" / "catalogue.ecsv").write_text("# %ECSV 1.0\n# x")
    with pytest.raises(GalgenError, match=r"catalogue\.ecsv cannot be read .* import the data set again"):
        len(dataset.catalogue)


def test_an_existing_folder_is_not_overwritten(tmp_path, noise):
    make(tmp_path / "set", noise)
    with pytest.raises(GalgenError, match="exists already"):
        make(tmp_path / "set", noise)


def test_a_full_disk_is_told_with_what_is_needed_and_leaves_nothing(tmp_path, noise, monkeypatch):
    def full(*given, **options):
        raise OSError("3840 requested and 128 written")  # as numpy says it

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(GalgenError, match=r"disk is full: .*set needs about 0\.0 MB, .* Make room"):
        make(tmp_path / "set", noise)
    assert list(tmp_path.iterdir()) == []


def test_keys_are_equal_for_flips_and_turns_alone(noise):
    keys = dihedral_keys(noise)
    assert len(np.unique(keys)) == len(noise)
    for turned in (noise[..., ::-1], noise[..., ::-1, :], np.rot90(noise, 1, (2, 3)), noise.swapaxes(2, 3)):
        assert np.array_equal(dihedral_keys(np.ascontiguousarray(turned)), keys)
    changed = noise.copy()
    changed[:, 0, 3, 4] ^= 1
    assert not np.any(dihedral_keys(changed) == keys)


def test_sets_are_disjoint_by_content_also_when_images_are_repeated_turned(tmp_path, noise):
    repeated = np.concatenate([noise, np.rot90(noise, 3, (2, 3)), noise[..., ::-1]])
    dataset = make(tmp_path / "set", repeated)
    sets = split(dataset, 20, 15)
    keys = dihedral_keys(repeated)
    drawn = np.concatenate([keys[sets.A], keys[sets.B], keys[sets.validation]])
    assert len(np.unique(drawn)) == 55


def test_smaller_sets_lie_in_larger_ones_and_validation_stays(tmp_path, noise):
    dataset = make(tmp_path / "set", noise)
    small, large = split(dataset, 5, 10), split(dataset, 25, 10)
    assert set(small.A) < set(large.A)
    assert set(small.B) < set(large.B)
    assert np.array_equal(small.validation, large.validation)
    assert not np.array_equal(small.A, split(dataset, 5, 10, seed=1).A)


def test_too_large_an_N_says_how_many_images_there_are(tmp_path, noise):
    dataset = make(tmp_path / "set", np.concatenate([noise, noise]))
    split(dataset, 25, 10)
    with pytest.raises(GalgenError, match=r"need 62 images.* 60 distinct .*at most 25"):
        split(dataset, 26, 10)
    with pytest.raises(GalgenError, match="60 distinct ones: at least 61 are needed"):
        split(dataset, 10, 57)  # one image for each model is none for a comparison
