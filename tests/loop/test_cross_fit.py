"""Probabilities by networks that never learned the label they judge."""

from types import SimpleNamespace

import numpy as np
import pytest

from holdfast.phases import cross_fit, past_models, scoring
from holdfast.phases.cross_fit import out_of_sample_probs
from holdfast.phases.pool import read_pool, select_rows
from holdfast.phases.turn import Turn
from holdfast.project import Project
from holdfast.quality.settings import AuditConfig
from holdfast.records import LabelTable, ModelRecord

FOLDS = 3


class StoppedError(Exception):
    """Stands for the power going out."""


@pytest.fixture
def project(person, shelf):
    person.succeed("ingest", str(shelf.labeled))
    with Project.open(person.root) as opened:
        yield opened


@pytest.fixture
def lessons(monkeypatch):
    """What each network was taught and what it was asked, in order."""
    from holdfast.learning.teaching import ContinualLearner

    taught, asked = [], []
    learn, score = ContinualLearner.learn, scoring.score

    def watched_learn(self, state, experience, *rest):
        taught.append(set(experience.sample_ids_n.tolist()))
        return learn(self, state, experience, *rest)

    def watched_score(project, state, sample_ids_n, *rest, **settings):
        asked.append(set(sample_ids_n.tolist()))
        return score(project, state, sample_ids_n, *rest, **settings)

    monkeypatch.setattr(ContinualLearner, "learn", watched_learn)
    monkeypatch.setattr(scoring, "score", watched_score)
    return SimpleNamespace(taught=taught, asked=asked)


def turn_of(project):
    return Turn(project=project, round_number=1, done=())


def labels_of(project):
    with project.ledger.read() as connection:
        return read_pool(connection).labeled


def judge(project, kind, table=None, groups=None):
    table = labels_of(project) if table is None else table
    embeddings = np.random.default_rng(0).normal(size=(len(table), 4)).astype(np.float32)
    config = AuditConfig(probabilities=kind, folds=FOLDS)
    return out_of_sample_probs(turn_of(project), table, embeddings, groups, config=config)


# By folds


def test_probe_asks_no_network(project):
    assert judge(project, "probe") is None


def test_kfold_networks_judge_every_sample_once_and_none_they_learned(project, lessons):
    table = labels_of(project)
    groups = np.arange(len(table)) // 4
    probs, class_ids = judge(project, "kfold", groups=groups)
    assert probs.shape == (len(table), len(class_ids))
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, atol=1e-5)
    assert sorted(one for some in lessons.asked for one in some) == table.sample_ids_n.tolist()
    group_of = dict(zip(table.sample_ids_n.tolist(), groups.tolist(), strict=True))
    for taught, asked in zip(lessons.taught, lessons.asked, strict=True):
        assert not {group_of[one] for one in taught} & {group_of[one] for one in asked}


def test_kfold_killed_after_a_fold_goes_on_with_those_it_lacks(project, lessons, monkeypatch):
    whole, _ = judge(project, "kfold")
    # Without a fold's file it has to be done again, to the same bits.
    for path in (project.state / "cross-fit").rglob("fold-*.npy"):
        path.unlink()
    lessons.taught.clear()

    def stop(name):
        if name == "cross-fit:fold-1":
            raise StoppedError

    with monkeypatch.context() as patched:
        patched.setattr(cross_fit, "reach", stop)
        with pytest.raises(StoppedError):
            judge(project, "kfold")
    assert len(lessons.taught) == 2
    again, _ = judge(project, "kfold")
    assert len(lessons.taught) == FOLDS
    np.testing.assert_array_equal(again, whole)
    judge(project, "kfold")
    assert len(lessons.taught) == FOLDS


def test_kfold_of_another_set_reuses_nothing_and_leaves_only_its_own(project, lessons):
    table = labels_of(project)
    judge(project, "kfold", table)
    swapped = table.class_ids_n.copy()
    swapped[[0, -1]] = swapped[[-1, 0]]
    judge(project, "kfold", LabelTable(table.sample_ids_n, swapped, table.verified_n))
    assert len(lessons.taught) == 2 * FOLDS
    folders = list((project.state / "cross-fit").iterdir())
    assert len(folders) == 1
    assert sorted(path.name for path in folders[0].iterdir()) == [
        f"fold-{fold}.npy" for fold in range(FOLDS)
    ]


def test_kfold_label_no_other_fold_has_is_half_believed(project):
    table = labels_of(project)
    alone = np.r_[table.class_ids_n[:-1], 7]
    probs, class_ids = judge(
        project, "kfold", LabelTable(table.sample_ids_n, alone, table.verified_n)
    )
    assert probs[-1, class_ids == 7] == pytest.approx(0.5)
    assert probs[:-1, class_ids == 7].max() < 0.5


def test_kfold_of_two_classes_where_a_fold_has_all_of_one_is_half_sure(project):
    table = labels_of(project)
    two = np.r_[np.zeros(len(table) - 1, np.int64), 1]
    probs, _ = judge(project, "kfold", LabelTable(table.sample_ids_n, two, table.verified_n))
    np.testing.assert_allclose(probs[-1], 0.5)
    assert np.isfinite(probs).all()


def test_kfold_of_fewer_groups_than_folds_has_as_many_folds(project, lessons):
    judge(project, "kfold", groups=np.arange(len(labels_of(project))) % 2)
    assert len(lessons.taught) == 2


@pytest.mark.parametrize("kind", ["kfold", "ensemble"])
def test_networks_are_not_asked_where_there_is_nothing_to_compare(project, kind):
    table = labels_of(project)
    one = select_rows(table, table.sample_ids_n[table.class_ids_n == 0])
    assert judge(project, kind, one) is None
    assert judge(project, kind, groups=np.zeros(len(table), int)) is None


# By past models


def test_ensemble_without_a_model_is_the_probe(project):
    probs, class_ids = judge(project, "ensemble")
    assert len(class_ids) == 3
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, atol=1e-5)


def test_ensemble_model_judges_only_samples_it_never_learned(person, shelf, lessons, tmp_path):
    person.succeed("ingest", str(shelf.labeled))
    person.succeed("ingest", str(shelf.unlabeled))
    person.play("round-1")
    # Labels that come after the model: of the pool, sorted by color.
    late = tmp_path / "late"
    with Project.open(person.root) as project:
        known = set(labels_of(project).sample_ids_n.tolist())
        for path in shelf.unlabeled.iterdir():
            color = path.name.partition("-")[0]
            (late / color).mkdir(parents=True, exist_ok=True)
            (late / color / path.name).write_bytes(path.read_bytes())
    person.succeed("ingest", str(late))
    with Project.open(person.root) as project:
        table = labels_of(project)
        with project.ledger.read() as connection:
            learned = past_models.learned_ids(connection, past_models.models.models(connection))
        (trained,) = learned.values()
        lessons.asked.clear()
        probs, _ = judge(project, "ensemble", table)
    (asked,) = lessons.asked
    assert len(trained) > 0
    assert set(table.sample_ids_n.tolist()) - known <= asked
    assert not asked & set(trained.tolist())
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, atol=1e-5)


def test_what_an_ancestor_learned_counts_also_where_the_label_is_gone(monkeypatch):
    versions = {1: [1, 2, 3], 2: [1, 2], 3: [2, 4], 4: [5]}

    def resolve(_, scope, split):
        assert split == "train"
        return SimpleNamespace(sample_ids_n=np.array(versions[scope]))

    monkeypatch.setattr(past_models.labels, "resolve", resolve)
    monkeypatch.setattr(
        past_models.models, "version_by_id", lambda _, one: SimpleNamespace(scope=one)
    )
    chain = [("a", None, 1), ("b", "a", 2), ("c", "b", 3), ("d", None, 4)]
    # By round and sha256, as the ledger gives them: a parent may come later in its round.
    records = [
        ModelRecord(sha256=name, round_number=1, parent=parent, dataset_version=version)
        for name, parent, version in reversed(chain)
    ]
    learned = past_models.learned_ids(None, records)
    assert {name: ids.tolist() for name, ids in learned.items()} == {
        "a": [1, 2, 3],
        "b": [1, 2, 3],
        "c": [1, 2, 3, 4],
        "d": [5],
    }


def test_group_of_a_learned_sample_is_not_new():
    new = past_models._new_to(np.array([11]), np.array([10, 11, 12]), np.array([0, 0, 1]))
    assert new.tolist() == [False, False, True]


def test_classes_without_a_label_take_their_part_along():
    said = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]], np.float32)
    probs = past_models._on_columns(said, np.array([4, 9, 2]), np.array([2, 3, 4]))
    np.testing.assert_allclose(probs, [[1 / 3, 0, 2 / 3], [1 / 3, 1 / 3, 1 / 3]], atol=1e-6)
