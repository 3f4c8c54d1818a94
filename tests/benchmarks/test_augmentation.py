"""The benchmark of augmentation policies, on few samples and steps."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import augmentation

FEW = ["--samples", "60", "--steps", "3"]


def test_every_policy_learns_the_same_samples(tmp_path, capsys):
    path = tmp_path / "rows.json"
    policies = "none,geometric,none"
    assert augmentation.main([*FEW, "--policies", policies, "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert [row["policy"] for row in rows] == policies.split(",")
    first, other, again = ({k: v for k, v in row.items() if k != "seconds"} for row in rows)
    assert first == again
    assert first != other | {"policy": "none"}
    assert "geometric" in capsys.readouterr().out


def test_training_set_is_a_long_tail_in_which_every_class_remains():
    options = augmentation.make_parser().parse_args(["--samples", "120", "--imbalance", "20"])
    source = augmentation.training_set(options, 0)
    counts = np.sort(np.bincount(source.train_labels_n, minlength=10))
    assert counts[0] >= 2
    assert counts[-1] >= 10 * counts[0]
    assert len(source.train_labels_n) == pytest.approx(120, abs=10)


def test_unknown_policy_is_refused_before_anything_is_learned(capsys):
    assert augmentation.main(["--policies", "none,blurr"]) == 2
    error = capsys.readouterr().err
    assert "augmentation: " in error
    assert "'blurr'" in error
