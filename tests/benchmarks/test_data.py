"""The benchmark of data, on few samples."""

from __future__ import annotations

import json

import pytest

from benchmarks import data, data_sampler

KEYS = {"operation", "method", "samples", "seconds", "per_second", "peak_mb"}
METHODS = {
    "ingest": {
        *("PIL + sha256", "holdfast dry run", "holdfast reference", "holdfast copy"),
        *("holdfast again", "holdfast copy, no grouping"),
    },
    "reads": {"holdfast", "loose files", "Parquet"},
    "versions": {"kept", "log"},
}


@pytest.mark.slow
@pytest.mark.parametrize("part", sorted(METHODS))
def test_part_gives_a_row_for_each_method(part, tmp_path, capsys):
    path = tmp_path / "rows.json"
    assert data.main(["--only", part, "--samples", "120", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert all(row.keys() >= KEYS for row in rows)
    assert {row["method"] for row in rows} >= METHODS[part]
    assert all(row["per_second"] > 0 for row in rows)
    assert str(path) in capsys.readouterr().out


@pytest.mark.slow
def test_sampler_is_measured_with_the_latency_of_a_batch(monkeypatch):
    monkeypatch.setattr(data_sampler, "_TIMES", 20)
    monkeypatch.setattr(data_sampler, "_TIMES_OF_SLOW", 3)
    rows = data_sampler.rows(1500)
    assert all(KEYS | {"p50_ms", "p99_ms"} <= row.keys() for row in rows)
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in rows)
    assert any("read, decode and augment" in row["operation"] for row in rows)


def test_too_few_samples_are_refused(capsys):
    assert data.main(["--only", "reads", "--samples", "3"]) == 2
    assert "--samples should be at least 100" in capsys.readouterr().err
