"""The benchmark of synthetic images: what it learns from, and that it runs."""

import json

import numpy as np
import pytest

from benchmarks.data_synthetic import main, make_world

SIZES = {"side": 0, "common": 40, "rare": 20, "num_rare": 3}


def test_world_is_uneven_and_the_same_again():
    first, again, other = (make_world("digits", seed, **SIZES) for seed in (1, 1, 2))
    counts = np.bincount(first.labels_n)
    assert sorted(counts) == [20] * 3 + [40] * 7
    assert sorted(np.flatnonzero(counts == 20)) == sorted(first.rare)
    assert np.array_equal(first.images_nchw, again.images_nchw)
    assert not np.array_equal(first.labels_n, other.labels_n)
    assert first.images_nchw.shape[1:] == first.test_nchw.shape[1:] == (1, 8, 8)


def test_world_of_another_side_is_resized():
    world = make_world("digits", 0, **SIZES | {"side": 12})
    assert world.images_nchw.shape[1:] == (1, 12, 12)


def test_data_that_is_not_there_is_an_error(tmp_path, capsys):
    assert main(["--data", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("data_synthetic: ")


@pytest.mark.slow
def test_benchmark_measures_four_ways(tmp_path):
    pytest.importorskip("diffusers")
    file = tmp_path / "out.json"
    small = ["--common", "50", "--rare", "20", "--steps", "2", "--seeds", "0"]
    assert main([*small, "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["rows"]
    assert [row["way"] for row in rows] == [
        "as it is",
        "twice the steps",
        "synthetic",
        "synthetic, not judged",
    ]
    assert all(0 <= row["rare_recall"] <= 1 and 0 <= row["macro_f1"] <= 1 for row in rows)
    assert len(rows[2]["verdicts"]) == 3
    # Noise passes nowhere, and what does not pass changes nothing.
    assert not any(one["passed"] for one in rows[2]["verdicts"].values())
    assert rows[2]["macro_f1"] == rows[0]["macro_f1"]
