"""Dataset versions, models and which of them is champion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.errors import LedgerError
from holdfast.records import DatasetVersion, ModelRecord, Promotion, Tier
from holdfast.store import held_labels
from holdfast.store.label_rule import Scope
from holdfast.store.ledger import now
from holdfast.store.schema import dataset_version, model, promotion


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A dataset version with its id in the ledger."""

    id: int
    version: DatasetVersion

    @property
    def scope(self) -> Scope:
        """The label events the version is made of."""
        return Scope(self.version.watermark, self.version.excluded, self.version.moment)


def add_tiers(connection: Connection, new: Sequence[DatasetVersion]) -> int:
    """Record versions of which each is the parent of the next; return the last one's id.

    Raises
    ------
    ValueError
        If there are none.
    """
    if not new:
        raise ValueError("no version to record")
    newest_id = add_version(connection, new[0])
    for version in new[1:]:
        newest_id = add_version(connection, replace(version, parent=newest_id))
    return newest_id


def add_version(connection: Connection, new: DatasetVersion) -> int:
    """Record a dataset version; return its id."""
    moment = held_labels.newest(connection).id if new.moment is None else new.moment
    result = connection.execute(
        sa.insert(dataset_version),
        {
            "round": new.round_number,
            "tier": new.tier,
            "parent": new.parent,
            "watermark": new.watermark,
            "excluded": [list(pair) for pair in new.excluded],
            "moment": moment,
            "digest": new.digest,
            "num_labels": new.num_labels,
            "recipe": dict(new.recipe),
            "created_at": now(),
        },
    )
    key = result.inserted_primary_key
    return int(key[0]) if key else 0


def version_by_id(connection: Connection, version_id: int) -> StoredVersion:
    """Return one version; LedgerError when there is none of that id."""
    found = _version(connection, dataset_version.c.id == version_id)
    if found is None:
        raise LedgerError(f"the ledger has no dataset version {version_id}; restore a backup")
    return found


def newest_version(
    connection: Connection, round_number: int | None = None, tier: Tier | None = None
) -> StoredVersion | None:
    """Return the newest version, of one round or tier where that is named."""
    wanted: sa.ColumnElement[bool] = sa.true()
    if round_number is not None:
        wanted = wanted & (dataset_version.c.round == round_number)
    if tier is not None:
        wanted = wanted & (dataset_version.c.tier == tier)
    return _version(connection, wanted)


def version_learned(connection: Connection, sha256: str) -> StoredVersion:
    """Return the version a model was taught; LedgerError when there is no such model."""
    found = _version(
        connection,
        dataset_version.c.id.in_(
            sa.select(model.c.dataset_version).where(model.c.sha256 == sha256)
        ),
    )
    if found is None:
        raise LedgerError(f"the ledger has no model {sha256[:12]}; restore a backup")
    return found


def add_model(connection: Connection, new: ModelRecord) -> None:
    """Record a model; the same weights recorded twice are one row."""
    known = connection.scalar(sa.select(model.c.sha256).where(model.c.sha256 == new.sha256))
    if known is None:
        connection.execute(
            sa.insert(model),
            {
                "sha256": new.sha256,
                "round": new.round_number,
                "parent": new.parent,
                "dataset_version": new.dataset_version,
                "metrics": dict(new.metrics),
                "created_at": now(),
            },
        )


def models(connection: Connection) -> list[ModelRecord]:
    """Return every model, oldest round first."""
    rows = connection.execute(sa.select(model).order_by(model.c.round, model.c.sha256))
    return [
        ModelRecord(
            sha256=row.sha256,
            round_number=row.round,
            parent=row.parent,
            dataset_version=row.dataset_version,
            metrics=row.metrics,
        )
        for row in rows
    ]


def set_metrics(connection: Connection, sha256: str, metrics: dict[str, object]) -> None:
    """Record what evaluation measured of a model."""
    connection.execute(sa.update(model).where(model.c.sha256 == sha256).values(metrics=metrics))


def promotions(connection: Connection) -> list[Promotion]:
    """Return every change of champion, oldest first."""
    rows = connection.execute(sa.select(promotion).order_by(promotion.c.sequence))
    return [
        Promotion(
            round_number=row.round,
            expected=row.previous,
            champion=row.champion,
            dataset_version=row.dataset_version,
            kind=row.kind,
            verdict=row.verdict,
            who=row.who,
        )
        for row in rows
    ]


def champion(connection: Connection) -> Promotion | None:
    """Return the newest change of champion; None before the first."""
    history = promotions(connection)
    return history[-1] if history else None


def promote(connection: Connection, new: Promotion) -> None:
    """Change the champion by compare-and-swap.

    Raises
    ------
    LedgerError
        If the champion is no longer the one the promotion was decided against.
    """
    history = promotions(connection)
    current = history[-1].champion if history else None
    if current != new.expected:
        raise LedgerError(
            f"round {new.round_number} was judged against champion {_short(new.expected)} but "
            f"the champion is now {_short(current)}; run the round again"
        )
    try:
        connection.execute(
            sa.insert(promotion),
            {
                "sequence": len(history) + 1,
                "round": new.round_number,
                "previous": new.expected,
                "champion": new.champion,
                "dataset_version": new.dataset_version,
                "kind": new.kind,
                "verdict": dict(new.verdict),
                "who": new.who,
                "created_at": now(),
            },
        )
    except sa.exc.IntegrityError as error:
        raise LedgerError(
            f"round {new.round_number}: another process changed the champion at the same "
            "moment; run the round again"
        ) from error


def _short(sha256: str | None) -> str:
    return "none" if sha256 is None else sha256[:12]


def _version(connection: Connection, condition: sa.ColumnElement[bool]) -> StoredVersion | None:
    row = connection.execute(
        sa.select(dataset_version).where(condition).order_by(dataset_version.c.id.desc()).limit(1)
    ).first()
    if row is None:
        return None
    return StoredVersion(
        row.id,
        DatasetVersion(
            round_number=row.round,
            tier=row.tier,
            parent=row.parent,
            watermark=row.watermark,
            excluded=tuple((first, last) for first, last in row.excluded),
            moment=row.moment,
            digest=row.digest,
            num_labels=row.num_labels,
            recipe=row.recipe,
        ),
    )
