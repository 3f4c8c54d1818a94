"""Synthetic images in the ledger: with the augmented version that admits them."""

import pytest
import sqlalchemy as sa

from holdfast.errors import LedgerError
from holdfast.records import Changes, DatasetVersion, ModelRecord, SyntheticImage
from holdfast.store import labels, models, rounds, synthetic
from holdfast.store.rounds import PhaseRecord

IMAGES = tuple(SyntheticImage(uid=c * 64, class_id=1, generator="f" * 64) for c in "ba")


def _versions(number):
    return tuple(
        DatasetVersion(
            round_number=number,
            parent=None,
            watermark=0,
            excluded=(),
            digest="0" * 64,
            num_labels=0,
            tier=tier,
            moment=0,
        )
        for tier in ("raw", "augmented", "training")
    )


@pytest.fixture
def connection(ledger):
    """Two classes, and a round whose augmented version admits two images."""
    with ledger.write() as connection:
        labels.add_classes(connection, ["cat", "dog"])
        rounds.start(connection, "digest")
        done = PhaseRecord(
            round_number=1, step=1, phase="snapshot", next_phase="learn", outcome={}, seconds=0.0
        )
        rounds.record(connection, done, Changes(versions=_versions(1), synthetic=IMAGES))
        yield connection


def _ids(connection):
    newest = models.newest_version(connection)
    return newest.id - 2, newest.id - 1, newest.id


def test_augmented_and_training_versions_have_them_and_the_raw_one_none(connection):
    raw, augmented, training = _ids(connection)
    assert synthetic.of_version(connection, raw) == []
    wanted = sorted(IMAGES, key=lambda one: one.uid)
    assert synthetic.of_version(connection, augmented) == wanted
    assert synthetic.of_version(connection, training) == wanted


def test_versions_of_other_rounds_have_their_own(connection):
    models.add_tiers(connection, _versions(2))
    assert [len(synthetic.of_version(connection, one)) for one in _ids(connection)] == [0, 0, 0]


def test_augmented_of_a_raw_version_is_an_error(connection):
    raw, augmented, training = _ids(connection)
    assert synthetic.augmented_of(connection, training) == augmented
    assert synthetic.augmented_of(connection, augmented) == augmented
    with pytest.raises(LedgerError, match="stands on no augmented version"):
        synthetic.augmented_of(connection, raw)


def test_image_admitted_twice_by_one_version_is_refused(connection):
    _, augmented, _ = _ids(connection)
    with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
        synthetic.add(connection, augmented, IMAGES[:1])


def test_story_names_class_generator_versions_and_models(connection):
    _, augmented, training = _ids(connection)
    new = ModelRecord(sha256="c" * 64, round_number=1, parent=None, dataset_version=training)
    models.add_model(connection, new)
    told = synthetic.story(connection, "a" * 64)
    (version,) = told["versions"]
    assert (version["dataset_version"], version["round"]) == (augmented, 1)
    assert (version["class"], version["generator"]) == ("dog", "f" * 64)
    (model,) = told["models"]
    assert (model["sha256"], model["champion"]) == ("c" * 64, False)


def test_named_finds_uids_by_their_first_digits(connection):
    assert synthetic.named(connection, "aaaaaaaa", 2) == ["a" * 64]
    assert synthetic.named(connection, "cccccccc", 2) == []
