"""One selection from a made-up pool, timed."""

import numpy as np
import pytest

from benchmarks import selection_scale
from benchmarks.closed_loop import RECIPE
from benchmarks.selection_scale import CHOOSERS, ScaleJob, make_inputs, play, run_scale
from holdfast.errors import ConfigError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("inputs")
    make_inputs(made, samples=3000, dim=8, classes=5)
    return made


def _job(folder, method, pick=40):
    return ScaleJob(folder=folder, method=method, pick=pick, recipe=RECIPE, threads=1)


def test_inputs_are_a_long_tail_that_the_model_tells_apart(folder):
    features, probs, labels = (
        np.load(folder / f"{name}.npy") for name in ("features", "probs", "labels")
    )
    assert features.shape == (4000, 8)
    assert probs.shape == (3000, 5)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)
    counts = np.bincount(labels, minlength=5)
    assert counts[0] > 10 * counts[4]
    assert probs.max(axis=1).mean() > 0.8


def test_inputs_are_the_same_again(folder, tmp_path):
    make_inputs(tmp_path, samples=3000, dim=8, classes=5)
    assert (tmp_path / "probs.npy").read_bytes() == (folder / "probs.npy").read_bytes()


@pytest.mark.parametrize("method", ["holdfast", "random", "modal-margin"])
def test_method_picks_as_many_as_it_should(folder, method):
    row = play(_job(folder, method))
    assert row["picked"] == 40
    assert row["seconds"] > 0 <= row["peak_mb"]


def test_inputs_that_are_large_are_mapped(folder, monkeypatch):
    monkeypatch.setattr(selection_scale, "IN_MEMORY_BYTES", 1000)
    asked = []

    def chooser(_):
        return lambda inputs, pick, _: asked.append(inputs) or np.arange(pick)

    monkeypatch.setitem(CHOOSERS, "random", chooser)
    play(_job(folder, "random"))
    assert isinstance(asked[-1].probs_nk, np.memmap)
    assert isinstance(asked[-1].features_nd, np.memmap)


@pytest.mark.parametrize(
    ("numbers", "methods", "message"),
    [
        ((100, 4, 5, 101), None, "--scale 100 should be at least"),
        ((100, 4, 1, 10), None, "2 or more"),
        ((100, 4, 5, 10), ["galaxy"], "cannot be timed alone"),
    ],
)
def test_scale_that_cannot_be_is_refused(numbers, methods, message):
    with pytest.raises(ConfigError, match=message):
        run_scale(*numbers, methods)
