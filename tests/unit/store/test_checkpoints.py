"""Learner states on disk."""

import json

import numpy as np
import pytest

from holdfast.errors import CheckpointMismatchError
from holdfast.store.checkpoints import load, save

TENSORS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "a": np.array(5, dtype=np.int64),
    "empty": np.zeros((0, 3, 8, 8), np.uint8),
    "keys": np.array([np.nan, np.inf, -0.0, 0.1]),
}
HEADER = {"class_ids": [3, 1], "network": {"name": "x", "width": None}, "é": 0.1}


def test_load_after_save_returns_every_bit(tmp_path):
    tensors, header = load(tmp_path, save(tmp_path, TENSORS, HEADER))
    assert header == HEADER
    assert tensors.keys() == TENSORS.keys()
    for key, expected in TENSORS.items():
        assert tensors[key].dtype == expected.dtype
        assert tensors[key].shape == expected.shape
        assert tensors[key].tobytes() == expected.tobytes()


def test_save_of_equal_states_gives_one_name(tmp_path):
    turned = {key: np.array(TENSORS[key], order="F") for key in reversed(TENSORS)}
    assert save(tmp_path, TENSORS, HEADER) == save(tmp_path, turned, dict(reversed(HEADER.items())))
    assert len(list(tmp_path.iterdir())) == 2


def test_save_of_another_header_gives_another_name(tmp_path):
    assert save(tmp_path, TENSORS, HEADER) != save(tmp_path, TENSORS, HEADER | {"steps": 1})


def test_save_again_after_a_crash_between_files_completes_the_pair(tmp_path):
    name = save(tmp_path, TENSORS, HEADER)
    (tmp_path / f"{name}.safetensors").unlink()
    assert save(tmp_path, TENSORS, HEADER) == name
    assert load(tmp_path, name)[1] == HEADER


def test_save_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        save(tmp_path / "models", TENSORS, {"rng": object()})
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("suffix", ["safetensors", "json"])
def test_load_of_changed_bytes_names_file_and_both_hashes(tmp_path, suffix):
    name = save(tmp_path, TENSORS, HEADER)
    path = tmp_path / f"{name}.{suffix}"
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 1
    path.write_bytes(bytes(changed))
    with pytest.raises(CheckpointMismatchError) as caught:
        load(tmp_path, name)
    assert caught.value.path == path
    assert caught.value.key == "sha256"
    assert caught.value.expected != caught.value.found


@pytest.mark.parametrize("suffix", ["safetensors", "json"])
def test_load_of_a_missing_file_says_which(tmp_path, suffix):
    name = save(tmp_path, TENSORS, HEADER)
    (tmp_path / f"{name}.{suffix}").unlink()
    with pytest.raises(CheckpointMismatchError, match=f"{name}.{suffix}.*missing"):
        load(tmp_path, name)


def test_header_on_disk_is_readable_json(tmp_path):
    name = save(tmp_path, TENSORS, HEADER)
    assert json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")) == HEADER
