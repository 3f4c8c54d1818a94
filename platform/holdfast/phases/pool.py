"""Which samples can be asked about, and whether they are enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sqlalchemy.engine import Connection

from holdfast.config import Config
from holdfast.errors import ConfigError, PoolExhaustedError
from holdfast.records import Ids, LabelTable
from holdfast.store import answers, labels, samples


@dataclass(frozen=True, slots=True)
class Pool:
    """What there is to ask about.

    Attributes
    ----------
    unlabeled_ids : ndarray of int64
        Training samples without a label.
    labeled : LabelTable
        Labels that hold, of training and holdout samples alike.
    refused_ids : ndarray of int64
        Samples about which somebody could not tell; they are not asked about again.
    """

    unlabeled_ids: Ids
    labeled: LabelTable
    refused_ids: Ids

    @property
    def num_askable(self) -> int:
        """How many samples can be asked about: unlabeled, or labeled but not verified."""
        unverified = self.labeled.sample_ids_n[~self.labeled.verified_n]
        return len(self.unlabeled_ids) + len(np.setdiff1d(unverified, self.refused_ids))


def read_pool(connection: Connection) -> Pool:
    """Read the pool as it is now. Cost: linear in the number of samples."""
    labeled = labels.resolve(connection, labels.open_scope(connection))
    refused = answers.unknown_ids(connection)
    usable = samples.usable_ids(connection, "train")
    taken = np.union1d(labeled.sample_ids_n, refused)
    return Pool(np.setdiff1d(usable, taken, assume_unique=True), labeled, refused)


def check_ready(connection: Connection, config: Config) -> None:
    """Check that there is something to classify and enough to ask about.

    Raises
    ------
    ConfigError
        When there is no sample, or there are fewer than two classes.
    PoolExhaustedError
        When the query budget is larger than what can be asked about.
    """
    counts = samples.counts(connection)
    if counts["train"] + counts["holdout"] == 0:
        raise ConfigError("there are no images yet; run `holdfast ingest PATH` first")
    names = list(dict.fromkeys([*labels.class_names(connection), *config.data.classes]))
    if len(names) < 2:
        known = f"only the class {names[0]}" if names else "no class"
        raise ConfigError(
            f"{known} is known but a classifier needs two or more; list them in "
            "data.classes or ingest labeled images"
        )
    askable = read_pool(connection).num_askable
    if config.query.budget > askable:
        raise PoolExhaustedError(config.query.budget, askable)


def select_rows(table: LabelTable, sample_ids: Ids) -> LabelTable:
    """Return the rows of a label table whose sample is among the ids."""
    kept = np.isin(table.sample_ids_n, sample_ids)
    return LabelTable(table.sample_ids_n[kept], table.class_ids_n[kept], table.verified_n[kept])
