"""A pool is looked at as a whole; of a very large one, a part that the stored index leads to."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from holdfast.errors import DiskFullError
from holdfast.loop import open_round
from holdfast.model.neighbors import NeighborIndex
from holdfast.phases import index as stored
from holdfast.phases import scratch
from holdfast.phases.describe import PixelSpace, describe, fit_ids
from holdfast.phases.index import candidate_ids, stored_index
from holdfast.phases.pool import read_pool
from holdfast.phases.scratch import Scratch
from holdfast.phases.turn import Turn
from holdfast.project import Project
from holdfast.store import samples


@pytest.fixture
def project(tiny_project: Callable[[str], Path]) -> Iterator[Project]:
    with Project.open(tiny_project("project")) as opened:
        yield opened


def _ids(project: Project) -> np.ndarray:
    with project.ledger.read() as connection:
        return samples.usable_ids(connection, "train")


def _turn(project: Project) -> Turn:
    return Turn(project=project, round_number=open_round(project), done=())


def test_embedding_of_a_sample_is_the_same_whoever_else_is_described(project):
    ids = _ids(project)
    everyone = describe(project, ids)
    np.testing.assert_allclose(describe(project, ids[3:7]), everyone[3:7], atol=1e-6)
    assert PixelSpace(project).key == PixelSpace(project).key


def test_space_is_made_from_the_first_samples_until_there_are_twice_as_many():
    np.testing.assert_array_equal(fit_ids(np.arange(39_999)), np.arange(20_000))
    np.testing.assert_array_equal(fit_ids(np.arange(40_000)), np.arange(0, 40_000, 2))
    np.testing.assert_array_equal(fit_ids(np.arange(79_999)), np.arange(0, 40_000, 2))


def test_index_is_stored_and_grows_by_what_it_lacks(project, monkeypatch):
    ids, space = _ids(project), PixelSpace(project)
    stored_index(project, space, ids[:-5])
    embedded = []
    embed = PixelSpace.embed
    monkeypatch.setattr(
        PixelSpace, "embed", lambda self, some: embedded.append(some) or embed(self, some)
    )
    grown = stored_index(project, space, ids)
    np.testing.assert_array_equal(np.concatenate(embedded), ids[-5:])
    np.testing.assert_array_equal(grown.sample_ids, ids)
    embedded.clear()
    again = stored_index(project, space, ids)
    assert not embedded
    nearest = again.search(embed(space, ids), 1)[1][:, 0]
    np.testing.assert_array_equal(nearest, ids)
    assert len(list((project.state / "neighbors").glob("*.faiss"))) == 1


def test_index_of_other_embeddings_is_never_used(project):
    ids, space = _ids(project), PixelSpace(project)
    other = PixelSpace(project)
    other.key = "of another network"
    stored_index(project, other, ids[:2])
    np.testing.assert_array_equal(stored_index(project, space, ids[:4]).sample_ids, ids[:4])


@pytest.mark.parametrize("broken", ["index.json", "*.faiss"])
def test_index_that_cannot_be_read_is_made_anew(project, broken, caplog):
    ids, space = _ids(project), PixelSpace(project)
    stored_index(project, space, ids)
    (path,) = (project.state / "neighbors").glob(broken)
    path.write_bytes(b"{")
    np.testing.assert_array_equal(stored_index(project, space, ids).sample_ids, ids)
    assert "made anew" in caplog.text


def test_index_is_made_anew_when_it_has_outgrown_itself(project, monkeypatch):
    ids, space = _ids(project), PixelSpace(project)
    stored_index(project, space, ids[:3])
    capacities = []

    class Watched(NeighborIndex):
        def __init__(self, sample_nd, capacity):
            capacities.append(capacity)
            super().__init__(sample_nd, capacity)

    monkeypatch.setattr(stored, "NeighborIndex", Watched)
    stored_index(project, space, ids[:4])
    monkeypatch.setattr(NeighborIndex, "outgrown", lambda _, num: num > 5)
    stored_index(project, space, ids)
    assert capacities == [len(ids)]


def test_candidates_of_a_pool_within_the_limit_are_all_of_it(project):
    turn = _turn(project)
    with project.ledger.read() as connection:
        pool = read_pool(connection)
    np.testing.assert_array_equal(candidate_ids(turn, pool), pool.unlabeled_ids)
    assert not (project.state / "neighbors").exists()


def test_candidates_of_a_larger_pool_are_a_part_of_it_and_the_same_again(project):
    query = replace(project.config.query, budget=4, pool_limit=10)
    project.config = replace(project.config, query=query)
    turn = _turn(project)
    with project.ledger.read() as connection:
        pool = read_pool(connection)
    found = candidate_ids(turn, pool)
    assert len(found) == 10 < len(pool.unlabeled_ids)
    assert np.isin(found, pool.unlabeled_ids).all()
    np.testing.assert_array_equal(candidate_ids(turn, pool), found)


def test_scratch_large_array_lies_on_disk_and_leaves_nothing(project, monkeypatch):
    monkeypatch.setattr(scratch, "IN_MEMORY_BYTES", 100)
    before = sorted(project.state.iterdir())
    small, large = (Scratch(project)((rows, 5), np.float32) for rows in (5, 50))
    assert (type(small), type(large)) == (np.ndarray, np.memmap)
    large[:] = 3
    assert large.sum() == 750
    assert sorted(project.state.iterdir()) == before


def test_scratch_without_room_says_so(project, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scratch, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(DiskFullError, match="no space left"):
        Scratch(project)((50, 5), np.float32)
