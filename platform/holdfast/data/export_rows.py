"""The samples of a version, one page after another, as an export writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from holdfast.records import DatasetVersion
from holdfast.store import held_labels
from holdfast.store.images import ImageStore
from holdfast.store.ledger import Ledger
from holdfast.store.samples import Split
from holdfast.store.schema import label_event, label_span, sample

_PAGE = 1000
_PAGE_BYTES = 64 * 2**20
_MAGIC = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG": "png",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"RIFF": "webp",
    b"II*\x00": "tif",
    b"MM\x00*": "tif",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedSample:
    """One sample of a version.

    Attributes
    ----------
    payload : bytes
        The encoded image as it came.
    verified : bool
        Whether a person confirmed the label after it was given.
    annotations : str
        JSON: a list of [annotator, class name], of everything said about the sample that
        counts in this version, in the order it was said.
    """

    uid: str
    payload: bytes
    class_id: int
    label: str
    verified: bool
    split: Split
    group: str | None
    source: str
    annotations: str

    @property
    def suffix(self) -> str:
        """How the name of a file with this content should end: `png`."""
        for magic, suffix in _MAGIC.items():
            if self.payload.startswith(magic):
                return suffix
        return "img"


def pages(
    ledger: Ledger,
    images: ImageStore,
    version: DatasetVersion,
    split: Split,
    names: Sequence[str],
) -> Iterator[list[ExportedSample]]:
    """Yield the samples of one split by sample id, a thousand or 64 MiB at a time.

    Raises
    ------
    LedgerError
        If an image is no longer in the store.
    """
    span, last = label_span.c, 0
    while True:
        with ledger.read() as connection:
            rows = connection.execute(
                sa.select(
                    span.sample_id,
                    span.class_id,
                    span.verified,
                    sample.c.uid,
                    sample.c.group,
                    sample.c.source,
                    sample.c.num_bytes,
                )
                .join(sample, sample.c.id == span.sample_id)
                .where(held_labels.holding(version.moment or 0), sample.c.split == split)
                .where(span.sample_id > last)
                .order_by(span.sample_id)
                .limit(_PAGE)
            ).all()
            rows = _within(rows)
            said = _annotations(connection, [row.sample_id for row in rows], version, names)
        if not rows:
            return
        payloads = images.read([row.uid for row in rows])
        yield [
            ExportedSample(
                uid=row.uid,
                payload=payload,
                class_id=row.class_id,
                label=names[row.class_id],
                verified=row.verified,
                split=split,
                group=row.group,
                source=row.source,
                annotations=json.dumps(said.get(row.sample_id, []), ensure_ascii=False),
            )
            for row, payload in zip(rows, payloads, strict=True)
        ]
        last = rows[-1].sample_id


def num_bytes(connection: sa.Connection, moment: int) -> int:
    """Return what the images of a version take. Cost: one pass over the spans."""
    total = connection.scalar(
        sa.select(sa.func.sum(sample.c.num_bytes))
        .join(label_span, label_span.c.sample_id == sample.c.id)
        .where(held_labels.holding(moment))
    )
    return int(total or 0)


def _within(rows: Sequence[sa.Row[tuple[int, ...]]]) -> Sequence[sa.Row[tuple[int, ...]]]:
    """Return the first rows, at least one, whose images fit into a page."""
    total = 0
    for place, row in enumerate(rows):
        total += row.num_bytes
        if total > _PAGE_BYTES and place:
            return rows[:place]
    return rows


def _annotations(
    connection: sa.Connection,
    sample_ids: Sequence[int],
    version: DatasetVersion,
    names: Sequence[str],
) -> dict[int, list[tuple[str, str]]]:
    event = label_event.c
    rows = connection.execute(
        sa.select(event.sample_id, event.annotator, event.class_id)
        .where(event.sample_id.in_(sample_ids), event.id <= version.watermark)
        .where(*(sa.not_(event.id.between(first, last)) for first, last in version.excluded))
        .order_by(event.id)
    )
    found: dict[int, list[tuple[str, str]]] = {}
    for sample_id, annotator, class_id in rows:
        if class_id is None:
            # Withdrawn, and with it everything said before.
            found.pop(sample_id, None)
        else:
            found.setdefault(sample_id, []).append((annotator, names[class_id]))
    return found
