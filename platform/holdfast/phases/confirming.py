"""Labels of held-out samples to be confirmed, so that the holdout is beyond doubt."""

from __future__ import annotations

import numpy as np

from holdfast.phases.pool import Pool
from holdfast.phases.turn import Turn
from holdfast.records import Ids, LabelTable, QueryItem
from holdfast.store import samples

# Confirmed labels of held-out samples from which on the others do not count in the comparison
# of models, and no more are asked for.
ENOUGH_VERIFIED = 100


def confirming_items(turn: Turn, pool: Pool, wanted: int) -> tuple[QueryItem, ...]:
    """Return questions about held-out labels that nobody confirmed; none once enough are.

    They carry no guess, which would sway whoever answers.
    """
    if wanted < 1:
        return ()
    with turn.project.ledger.read() as connection:
        held_out = samples.usable_ids(connection, "holdout")
    rows = np.isin(pool.labeled.sample_ids_n, held_out)
    table = LabelTable(
        pool.labeled.sample_ids_n[rows],
        pool.labeled.class_ids_n[rows],
        pool.labeled.verified_n[rows],
    )
    wanted = min(wanted, ENOUGH_VERIFIED - int(table.verified_n.sum()))
    ids = to_confirm(table, pool.refused_ids, wanted, turn.rng("confirming"))
    return tuple(QueryItem(sample_id=one, reason="holdout", score=0.0) for one in ids.tolist())


def to_confirm(holdout: LabelTable, refused_ids: Ids, wanted: int, rng: np.random.Generator) -> Ids:
    """Choose labels to confirm: in the class with the fewest confirmed ones, rare ones first.

    So rare classes are done first, and none is left out of a comparison on confirmed labels.

    Parameters
    ----------
    holdout : LabelTable
        Labels of held-out samples that hold.
    refused_ids : ndarray of int64
        Samples about which somebody could not tell.
    wanted : int
        Fewer come back where there are fewer.

    Returns
    -------
    ndarray of int64
        Sample ids, the first to ask first; drawn at random inside a class.
    """
    classes = holdout.class_ids_n
    open_n = ~holdout.verified_n & ~np.isin(holdout.sample_ids_n, refused_ids)
    rows = rng.permutation(np.flatnonzero(open_n))
    size_k = np.bincount(classes)
    confirmed_k = np.bincount(classes[holdout.verified_n], minlength=len(size_k))
    rows = rows[np.argsort(classes[rows], kind="stable")]
    # How many of its class are confirmed when its turn comes.
    turn_n = np.arange(len(rows)) - np.searchsorted(classes[rows], classes[rows])
    turn_n += confirmed_k[classes[rows]]
    order = np.lexsort((classes[rows], size_k[classes[rows]], turn_n))
    chosen: Ids = holdout.sample_ids_n[rows[order[: max(wanted, 0)]]]
    return chosen
