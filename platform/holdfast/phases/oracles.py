"""The oracle a project asks, and what it is shown."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from holdfast import catalog
from holdfast.annotation.oracle import Card, Oracle
from holdfast.errors import ConfigError
from holdfast.phases.turn import Turn
from holdfast.project import Project
from holdfast.records import Ids, Query
from holdfast.store import labels, models, queries, samples

_LABEL_STUDIO = "holdfast.phases.label_studio"
_TRUTH_COLUMNS = {"uid", "label"}


def open_oracle(project: Project) -> Oracle:
    """Return the oracle that the config names.

    Raises
    ------
    ConfigError
        If the simulated oracle's file of known labels, or the labeling server, cannot be used.
    """
    config = project.config
    if config.annotation.oracle == "label-studio":
        # Reached by name: the server's client takes a second to import.
        opened: Oracle = importlib.import_module(_LABEL_STUDIO).open_label_studio(project)
        return opened
    build = catalog.load("annotation.oracle", config.annotation.oracle)
    with project.ledger.read() as connection:
        names = labels.class_names(connection)
    oracle: Oracle
    if config.annotation.oracle == "simulated":
        truth, votes = _read_truth(project, project.root / config.annotation.truth)
        oracle = build(
            truth,
            answer_noise=config.annotation.answer_noise,
            num_annotators=config.annotation.num_annotators,
            seed=config.seed,
            class_names=names,
            votes=votes,
        )
        return oracle

    def read_uids(sample_ids: Sequence[int]) -> list[str]:
        with project.ledger.read() as connection:
            return samples.uids_of(connection, np.array(sample_ids, np.int64))

    oracle = build(
        project.queries,
        read_bytes=lambda sample_ids: project.images.read(read_uids(sample_ids)),
        read_uids=read_uids,
        class_names=names,
    )
    return oracle


def newest_query(turn: Turn) -> Query:
    """Return the query this round made last."""
    with turn.project.ledger.read() as connection:
        return queries.queries_of(connection, turn.round_number)[-1]


def cards_of(project: Project, query: Query) -> tuple[Card, ...]:
    """Return what a person sees of each item of a query, in its order."""
    ids = np.array([item.sample_id for item in query.items], np.int64)
    with project.ledger.read() as connection:
        uids = samples.uids_of(connection, ids)
        sources = samples.sources_of(connection, ids)
        names = labels.class_names(connection)
        table = labels.resolve(connection, labels.open_scope(connection))
        champion = models.champion(connection)
    model = champion.champion[:12] if champion is not None else ""
    given = _labels_of(ids, table.sample_ids_n, table.class_ids_n)
    return tuple(
        Card(
            sample_id=item.sample_id,
            uid=uid,
            reason=item.reason,
            guess=None if item.guess is None else names[item.guess],
            confidence=item.confidence,
            label=None if class_id < 0 else names[class_id],
            parts=item.parts,
            source=Path(source).name,
            model="" if item.guess is None else model,
        )
        for item, uid, source, class_id in zip(
            query.items, uids, sources, given.tolist(), strict=True
        )
    )


def _labels_of(ids_m: Ids, sample_ids_n: Ids, class_ids_n: Ids) -> Ids:
    found = np.full(len(ids_m), -1, np.int64)
    _, here, there = np.intersect1d(ids_m, sample_ids_n, return_indices=True)
    found[here] = class_ids_n[there]
    return found


def _read_truth(project: Project, path: Path) -> tuple[dict[int, str], dict[int, list[str]] | None]:
    """Return true class names, and votes where there are any, by sample id."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = _TRUTH_COLUMNS - set(reader.fieldnames or ())
            if missing:
                raise ConfigError(
                    f"{path} has no column {' and no column '.join(sorted(missing))}; the "
                    "simulated oracle needs uid and label"
                )
            rows = list(reader)
    except OSError as error:
        raise ConfigError(
            f"annotation.truth {path} cannot be read ({error.strerror}); name a CSV file with the "
            "columns uid and label"
        ) from error
    with project.ledger.read() as connection:
        known = samples.ids_of(connection, [row["uid"] for row in rows])
    here = [(known[row["uid"]], row) for row in rows if row["uid"] in known]
    truth = {sample_id: row["label"] for sample_id, row in here}
    if not any(row.get("votes") for _, row in here):
        return truth, None
    return truth, {sample_id: (row["votes"] or "").split("|") for sample_id, row in here}
