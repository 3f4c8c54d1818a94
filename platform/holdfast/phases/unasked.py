"""What answers that came with the data amount to: a consensus where they convince."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy.engine import Connection

from holdfast.phases.pool import Pool
from holdfast.quality.agreement import AgreementConfig, decide
from holdfast.records import Ids, LabelEvent
from holdfast.store import unasked

# From as many answers on the most probable class stands, unless they contradict each other
# too much: no round would ask more people. Below, the answers must convince.
_MANY = 9


@dataclass(frozen=True, slots=True)
class Unasked:
    """Samples that several people spoke about before anybody asked.

    Attributes
    ----------
    events : tuple of LabelEvent
        A consensus for each sample on whose class they convince.
    num_open : int
        Samples on which they do not: the label they came with holds, unconfirmed, and a round
        may ask about it.
    """

    events: tuple[LabelEvent, ...] = ()
    num_open: int = 0


def settle_unasked(
    connection: Connection,
    round_number: int,
    votes: tuple[Ids, Ids, Ids],
    pool: Pool,
    since: int,
    config: AgreementConfig,
) -> Unasked:
    """Settle what people said of images that nobody was asked about.

    What one person said alone stays as it came. Nothing is looked at as long as no data with
    answers comes in.

    Parameters
    ----------
    votes : three ndarrays of int64
        Sample ids, annotators numbered from 0, and class ids of all answers.
    since : int
        Number of the newest answer that the last consensus heard.

    Notes
    -----
    Cost: one consensus over all such samples, so that what is known of each annotator counts.
    """
    if not unasked.came_since(connection, since):
        return Unasked()
    sample_ids_a, annotators_a, _ = votes
    num_annotators = int(annotators_a.max(initial=0)) + 1
    pairs = np.unique(sample_ids_a * num_annotators + annotators_a)
    ids, voices_m = np.unique(pairs // num_annotators, return_counts=True)
    ids = np.setdiff1d(ids[voices_m > 1], unasked.asked_ids(connection), assume_unique=True)
    table = pool.labeled
    # One that has no label any more lies in quarantine, or was withdrawn by hand.
    ids = np.intersect1d(ids, table.sample_ids_n, assume_unique=True)
    decided = decide(
        *votes,
        sample_ids_m=ids,
        record_m=np.full(len(ids), -1, np.int64),
        config=replace(config, max_answers=_MANY),
    )
    confirmed = np.isin(ids, table.sample_ids_n[table.verified_n])
    sure = (decided.class_ids_m >= 0) & ~confirmed
    return Unasked(
        events=tuple(
            LabelEvent(
                sample_id=sample_id,
                kind="consensus",
                class_id=class_id,
                annotator="consensus",
                source_key=f"consensus/{round_number}/{sample_id}",
            )
            for sample_id, class_id in zip(
                ids[sure].tolist(), decided.class_ids_m[sure].tolist(), strict=True
            )
        ),
        num_open=int((decided.class_ids_m < 0).sum()),
    )
