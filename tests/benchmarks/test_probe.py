"""The benchmark of the probe, on few samples."""

import json

import numpy as np
import pytest
import torch

from benchmarks import probe
from benchmarks.probe_inputs import KINDS, draw, find_kind, read
from holdfast.errors import ConfigError

KEYS = {"method", "seed", "seconds", "cpu_seconds", "log_loss", "accuracy", "peak_mb"}
SMALL = ("--samples", "400", "--dim", "16", "--classes", "3", "--folds", "4")


@pytest.fixture
def in_process(monkeypatch):
    """Measure in this process: starting another takes longer than all of the rest."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(probe, "apart", lambda _, job, **__: probe.play(job))
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("in_process")
def test_rows_hold_both_methods_and_their_ratio(tmp_path, capsys):
    path = tmp_path / "out" / "probe.json"
    assert probe.main([*SMALL, "--seeds", "0,1", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    rows = result["rows"]
    assert [(row["method"], row["seed"]) for row in rows] == [
        ("sklearn", 0),
        ("holdfast", 0),
        ("sklearn", 1),
        ("holdfast", 1),
    ]
    assert all(row.keys() >= KEYS for row in rows)
    for peer, ours in (rows[:2], rows[2:]):
        assert ours["speedup"] == pytest.approx(peer["seconds"] / ours["seconds"])
        # Folds, penalty and objective are the same, so the losses nearly are.
        assert ours["log_loss_ratio"] == pytest.approx(1.0, abs=0.02)
        assert "speedup" not in peer
    assert "log loss ratio" in capsys.readouterr().out


@pytest.mark.usefixtures("in_process")
def test_files_are_measured_instead_of_what_is_drawn(tmp_path):
    embeddings, labels = draw(KINDS["overlapping"], 200, 8, 3, seed=0)
    np.save(tmp_path / "x.npy", embeddings)
    np.save(tmp_path / "y.npy", labels + 5)
    path = tmp_path / "probe.json"
    arguments = ["--features", str(tmp_path / "x.npy"), "--labels", str(tmp_path / "y.npy")]
    assert probe.main([*arguments, "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert {(row["input"], row["samples"], row["classes"]) for row in rows} == {("files", 200, 3)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--features", "x.npy"], "--features and --labels go together"),
        (["--inputs", "odd"], "no input is called 'odd'; there are overlapping, noisy"),
        (["--folds", "1"], "--folds should be at least 2, not 1"),
        (["--samples", "20"], "--samples should be at least 50"),
        (["--features", "no.npy", "--labels", "no.npy"], "no.npy cannot be read as a .npy file"),
    ],
)
def test_argument_that_cannot_be_used_is_one_line(arguments, message, capsys):
    assert probe.main(arguments) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("embeddings", "labels", "message"),
    [
        (np.zeros(4), np.arange(4), "should hold floats of shape"),
        (np.zeros((4, 2)), np.arange(3), "should hold 4 whole numbers"),
        (np.full((4, 2), np.nan), np.arange(4), "not finite"),
        (np.zeros((4, 2)), np.zeros(4, np.int64), "two classes or more, not 1"),
    ],
)
def test_file_that_does_not_fit_is_refused(tmp_path, embeddings, labels, message):
    np.save(tmp_path / "x.npy", embeddings)
    np.save(tmp_path / "y.npy", labels)
    with pytest.raises(ConfigError, match=message):
        read(tmp_path / "x.npy", tmp_path / "y.npy")


def test_drawn_embeddings_follow_their_seed_and_kind():
    kind = find_kind("scaled")
    first, again = (draw(kind, 300, 20, 3, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], draw(kind, 300, 20, 3, seed=5)[0])
    spread = first[0].std(axis=0)
    assert spread.max() / spread.min() > 100
    plain = draw(find_kind("overlapping"), 300, 20, 3, seed=4)[0]
    assert plain.min() == 0
