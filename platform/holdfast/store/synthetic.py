"""Which generated images an augmented version admits."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.errors import LedgerError
from holdfast.records import SyntheticImage
from holdfast.store import models
from holdfast.store.schema import class_, dataset_version, model, promotion, synthetic

Facts = dict[str, object]


def add(connection: Connection, augmented: int, images: Sequence[SyntheticImage]) -> None:
    """Record the images that an augmented version admits."""
    if images:
        connection.execute(
            sa.insert(synthetic),
            [
                {
                    "dataset_version": augmented,
                    "uid": one.uid,
                    "class_id": one.class_id,
                    "generator": one.generator,
                }
                for one in images
            ],
        )


def augmented_of(connection: Connection, version_id: int) -> int:
    """Return the id of the augmented version that a version is, or stands on.

    Raises
    ------
    LedgerError
        If it has none.
    """
    stored = models.version_by_id(connection, version_id)
    while stored.version.tier != "augmented":
        if stored.version.tier == "raw" or stored.version.parent is None:
            raise LedgerError(f"version {version_id} stands on no augmented version")
        stored = models.version_by_id(connection, stored.version.parent)
    return stored.id


def of_version(connection: Connection, version_id: int) -> list[SyntheticImage]:
    """Return the images that a version admits, or the augmented one it stands on, by uid.

    None for raw versions: those are what people said, and nothing else.
    """
    stored = models.version_by_id(connection, version_id)
    if stored.version.tier == "training" and stored.version.parent is not None:
        version_id = stored.version.parent
    rows = connection.execute(
        sa.select(synthetic.c.uid, synthetic.c.class_id, synthetic.c.generator)
        .where(synthetic.c.dataset_version == version_id)
        .order_by(synthetic.c.uid)
    )
    return [SyntheticImage(uid=uid, class_id=k, generator=made) for uid, k, made in rows.tuples()]


def named(connection: Connection, text: str, limit: int) -> list[str]:
    """Return uids that begin with a text, ascending, `limit` at most."""
    rows = connection.execute(
        sa.select(synthetic.c.uid)
        .where(synthetic.c.uid >= text, synthetic.c.uid < text + "g")
        .distinct()
        .order_by(synthetic.c.uid)
        .limit(limit)
    )
    return list(rows.scalars())


def story(connection: Connection, uid: str) -> dict[str, list[Facts]]:
    """Return what the ledger says about an image, in the order it was written.

    Returns
    -------
    dict of str to list
        `versions`: the augmented versions that admit it, with class and generator; `models`:
        those taught from them.
    """
    admitted = connection.execute(
        sa.select(
            dataset_version.c.id.label("dataset_version"),
            dataset_version.c.round,
            class_.c.name.label("class"),
            synthetic.c.generator,
            dataset_version.c.created_at,
        )
        .join(synthetic, synthetic.c.dataset_version == dataset_version.c.id)
        .join(class_, class_.c.id == synthetic.c.class_id)
        .where(synthetic.c.uid == uid)
        .order_by(dataset_version.c.id)
    )
    versions = [dict(row._mapping) for row in admitted]
    champion = connection.scalar(
        sa.select(promotion.c.champion).order_by(promotion.c.sequence.desc()).limit(1)
    )
    taught = connection.execute(
        sa.select(model.c.sha256, model.c.round, model.c.dataset_version, model.c.created_at)
        .join(dataset_version, dataset_version.c.id == model.c.dataset_version)
        .where(dataset_version.c.parent.in_([one["dataset_version"] for one in versions]))
        .order_by(model.c.round, model.c.sha256)
    )
    models_told = [dict(row._mapping) | {"champion": row.sha256 == champion} for row in taught]
    return {"versions": versions, "models": models_told}
