"""The benchmark of consensus, on small crowds."""

import json

import numpy as np
import pytest

from benchmarks import annotation
from benchmarks.annotation_crowds import MODELS, REGIMES, draw, find_regime
from benchmarks.annotation_votes import METHODS, auroc, spearman
from holdfast.errors import ConfigError

KEYS = {"method", "consensus_accuracy", "error_auroc", "annotator_spearman", "seconds"}


def _crowd(tmp_path, **changes):
    """A file with 200 samples, 6 annotators, 3 classes; the last annotator answered once."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 200)
    votes = np.where(rng.random((200, 6)) < 0.75, true[:, None], rng.integers(0, 3, (200, 6)))
    votes[rng.random(votes.shape) < 0.4] = -1
    votes[:, 5] = -1
    votes[0, 5] = 2
    votes[7] = -1
    probs = rng.dirichlet(np.ones(3), 200) * 0.5
    probs[np.arange(200), true] += 0.5
    arrays = {"votes": votes, "true_labels": true, "pred_probs": probs, **changes}
    path = tmp_path / "votes.npz"
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def _rows(path, *more):
    out = path.parent / "out" / "annotation.json"
    assert annotation.main(["--votes", str(path), "--json", str(out), *more]) == 0
    return json.loads(out.read_text())["rows"]


def test_rows_hold_all_methods_and_numbers(tmp_path, capsys):
    rows = _rows(_crowd(tmp_path))
    assert [row["method"] for row in rows] == list(METHODS)
    assert all(row.keys() == KEYS for row in rows)
    assert all(0.8 < row["consensus_accuracy"] <= 1.0 for row in rows)
    assert all(row["error_auroc"] > 0.5 for row in rows)
    assert all(-1.0 <= row["annotator_spearman"] <= 1.0 for row in rows)
    assert "Dawid" not in capsys.readouterr().err


def test_rows_without_truth_are_empty_but_timed(tmp_path):
    for row in _rows(_crowd(tmp_path, true_labels=None)):
        assert (row["consensus_accuracy"], row["error_auroc"], row["annotator_spearman"]) == (
            None,
            None,
            None,
        )
        assert row["seconds"] > 0.0


def test_probs_of_another_file_equal_those_in_the_file(tmp_path):
    path = _crowd(tmp_path)
    probs = np.load(path)["pred_probs"]
    within = _rows(path)
    np.save(tmp_path / "probs.npy", probs)
    np.savez(tmp_path / "probs.npz", pred_probs=probs)
    bare = _crowd(tmp_path, pred_probs=None)
    without = _rows(bare)
    for name in ("probs.npy", "probs.npz"):
        apart = _rows(bare, "--probs", str(tmp_path / name))
        assert [_measured(row) for row in apart] == [_measured(row) for row in within]
    assert _measured(without[3]) != _measured(within[3])
    assert _measured(without[0]) == _measured(within[0])


def _measured(row):
    return {name: value for name, value in row.items() if name != "seconds"}


def test_not_a_number_and_unknown_truth_stand_for_none(tmp_path):
    plain = _rows(_crowd(tmp_path))
    votes = np.load(tmp_path / "votes.npz")["votes"].astype(float)
    votes[votes < 0] = np.nan
    assert [_measured(row) for row in _rows(_crowd(tmp_path, votes=votes))] == [
        _measured(row) for row in plain
    ]
    truth = np.full(200, -1)
    assert _rows(_crowd(tmp_path, true_labels=truth))[3]["consensus_accuracy"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"votes": None}, "should hold an array called votes"),
        ({"votes": np.zeros(200, int)}, r"should have shape (samples, annotators)"),
        ({"votes": np.full((200, 2), -1)}, "there is no answer in it"),
        ({"votes": np.full((200, 2), -3)}, "should lie between -1"),
        ({"votes": np.full((200, 2), 0.5)}, "should be whole numbers"),
        ({"votes": np.full((200, 2), "cat")}, "should be whole numbers"),
        ({"votes": np.full((200, 2), 5)}, r"(200, 6 or more)"),
        ({"true_labels": np.zeros(3, int)}, "should have shape (200,)"),
        ({"pred_probs": np.zeros((200, 3), int)}, "should be fractions of shape"),
        ({"pred_probs": np.full((9, 3), 1 / 3)}, "not (9, 3)"),
        ({"pred_probs": np.full((200, 3), np.nan)}, "not finite"),
        ({"pred_probs": np.full((200, 3), 0.9)}, "should sum to 1 in each row"),
        ({"votes": np.array([[{}]], object)}, "cannot be read"),
    ],
)
def test_file_that_does_not_fit_is_one_line(tmp_path, capsys, changes, message):
    assert annotation.main(["--votes", str(_crowd(tmp_path, **changes))]) == 2
    _one_line(capsys, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --votes FILE.npz or --simulate"),
        (["--votes", "no.npz"], "no.npz cannot be read"),
        (["--votes", "x.npz", "--simulate"], "give either"),
        (["--simulate", "--probs", "x.npy"], "--probs goes with --votes"),
        (["--simulate", "--regimes", "odd"], "no regime is called 'odd'; there are plain, few"),
        (["--simulate", "--regimes", "plain+odd"], "no regime is called 'plain+odd'"),
    ],
)
def test_argument_that_cannot_be_used_is_one_line(arguments, message, capsys):
    assert annotation.main(arguments) == 2
    _one_line(capsys, message)


def test_file_that_is_no_archive_is_one_line(tmp_path, capsys):
    for content in (b"", b"PK\x03\x04 broken", b"text\nof lines"):
        (tmp_path / "votes.npz").write_bytes(content)
        assert annotation.main(["--votes", str(tmp_path / "votes.npz")]) == 2
        _one_line(capsys, "cannot be read as a .npz or .npy file")


def _one_line(capsys, message):
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said


def test_simulated_panel_holds_a_row_for_each_regime_seed_and_method(tmp_path, capsys):
    out = tmp_path / "panel.json"
    arguments = ["--simulate", "--regimes", "few,single", "--seeds", "0,1", "--json", str(out)]
    assert annotation.main(arguments) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(row["regime"], row["seed"]) for row in rows[::4]] == [
        ("few", 0),
        ("few", 1),
        ("single", 0),
        ("single", 1),
    ]
    assert "lead" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["plain", "single", "crowd", "two-rare"])
def test_drawn_crowd_is_as_its_regime_says(name):
    regime = find_regime(name)
    first, again = draw(regime, 1), draw(regime, 1)
    np.testing.assert_array_equal(first.votes_nj, again.votes_nj)
    assert not np.array_equal(first.votes_nj, draw(regime, 2).votes_nj)
    assert first.votes_nj.shape == (regime.samples, regime.annotators)
    assert first.votes_nj.max() == regime.classes - 1
    number = (first.votes_nj >= 0).sum(axis=1)
    assert (number.min(), number.max()) == regime.answers
    assert (first.probs_nk is None) == (regime.model == "none")


def test_drawn_models_are_as_right_as_they_say():
    for model, (accuracy, _, _) in MODELS.items():
        crowd = draw(find_regime(f"plain+{model}"), 0)
        assert (crowd.probs_nk.argmax(axis=1) == crowd.true_n).mean() == pytest.approx(
            accuracy, abs=0.02
        )
    sure = draw(find_regime("plain+overconfident"), 0).probs_nk.max(axis=1).mean()
    assert sure > 0.85


def test_spammers_are_as_many_as_the_regime_says():
    crowd = draw(find_regime("spam"), 3)
    right = (crowd.votes_nj == crowd.true_n[:, None]) & (crowd.votes_nj >= 0)
    share = right.sum(axis=0) / (crowd.votes_nj >= 0).sum(axis=0)
    assert (share < 0.4).mean() == pytest.approx(0.3, abs=0.05)


def test_unknown_regime_is_refused():
    assert "plain" in REGIMES
    with pytest.raises(ConfigError, match="no regime is called 'none'"):
        find_regime("none")


def test_auroc_and_spearman_of_known_values():
    wrong = np.array([False, False, True, True])
    assert auroc(np.array([0.1, 0.2, 0.8, 0.9]), wrong) == 1.0
    assert auroc(np.array([0.5, 0.5, 0.5, 0.5]), wrong) == 0.5
    assert auroc(np.array([0.5, 0.5]), np.array([True, True])) is None
    assert spearman(np.array([1.0, 2.0, np.nan, 3.0]), np.array([5.0, 7.0, 0.0, 9.0])) == 1.0
    assert spearman(np.array([1.0, 1.0]), np.array([0.0, 2.0])) is None
