"""Snapshots: the last two, whole, whatever happens while one is written."""

import errno
import os

import numpy as np
import pytest

from holdfast.errors import DiskFullError
from holdfast.store import checkpoints
from holdfast.store.snapshots import Snapshots


def _save(snapshots, step, key="one"):
    return snapshots.save(key, step, {"weights": np.full(3, step, np.float32)}, {"done": step})


def _latest(snapshots, key="one"):
    found = snapshots.latest(key)
    return None if found is None else (found[0]["weights"].tolist(), found[1])


@pytest.fixture
def full_disk(monkeypatch):
    """Lets a test fill the disk from now on."""

    def fill():
        def fail(_descriptor):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", fail)

    return fill


def test_latest_of_a_folder_that_is_not_there_is_none(tmp_path):
    assert Snapshots(tmp_path / "none").latest("one") is None


def test_latest_is_the_newest_bit_for_bit(tmp_path):
    snapshots = Snapshots(tmp_path / "s")
    for step in (1, 2, 3):
        assert _save(snapshots, step)
    assert _latest(Snapshots(tmp_path / "s")) == ([3.0] * 3, {"done": 3})


def test_save_keeps_two_at_most(tmp_path):
    snapshots = Snapshots(tmp_path)
    for step in range(5):
        _save(snapshots, step)
        assert len(list(tmp_path.glob("*.safetensors"))) <= 2
    assert len(list(tmp_path.iterdir())) == 5  # two of two files, and the index


def test_save_of_another_computation_removes_the_first_ones(tmp_path):
    snapshots = Snapshots(tmp_path)
    _save(snapshots, 1)
    assert snapshots.latest("two") is None
    _save(snapshots, 7, key="two")
    assert _latest(snapshots) is None
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_latest_of_a_damaged_one_is_the_one_before_it(tmp_path, caplog):
    snapshots = Snapshots(tmp_path)
    _save(snapshots, 1)
    before = set(tmp_path.glob("*.safetensors"))
    _save(snapshots, 2)
    (newest,) = set(tmp_path.glob("*.safetensors")) - before
    newest.write_bytes(newest.read_bytes()[:-1])
    assert _latest(snapshots) == ([1.0] * 3, {"done": 1})
    assert "going on from the snapshot before it" in caplog.text


def test_save_on_a_full_disk_leaves_the_last_good_one_and_says_so(tmp_path, full_disk, caplog):
    snapshots = Snapshots(tmp_path)
    assert _save(snapshots, 400)
    files = sorted(path.name for path in tmp_path.iterdir())
    full_disk()
    assert not _save(snapshots, 800)
    assert _latest(snapshots) == ([400.0] * 3, {"done": 400})
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    assert "no space left" in caplog.text
    assert "the one of step 400 is kept" in caplog.text


def test_checkpoint_on_a_full_disk_is_an_error_that_says_what_to_do(tmp_path, full_disk):
    full_disk()
    with pytest.raises(DiskFullError, match="Free some space and run again"):
        checkpoints.save(tmp_path, {"weights": np.zeros(3)}, {})
    assert not list(tmp_path.iterdir())


def test_clear_removes_everything_and_can_be_done_twice(tmp_path):
    snapshots = Snapshots(tmp_path / "s")
    _save(snapshots, 1)
    snapshots.clear()
    snapshots.clear()
    assert not (tmp_path / "s").exists()
