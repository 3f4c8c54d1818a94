"""The identity of a set of labels, and what separates two of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from holdfast.records import Ids, LabelTable


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """Samples by class id that one version has and another has not.

    Attributes
    ----------
    added, removed : mapping of int to int
        Samples labeled only after, only before, counted under their label.
    changed : mapping of int to int
        Samples whose label differs, counted under the *new* label.
    """

    added: Mapping[int, int]
    changed: Mapping[int, int]
    removed: Mapping[int, int]

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def digest(uids: Sequence[str], class_ids_n: Ids, class_names: Sequence[str]) -> str:
    """Digest of a set of labels, the same whatever order the rows come in.

    Parameters
    ----------
    uids : sequence of str, length N
    class_ids_n : ndarray of int64, shape (N,)
        Index into `class_names`.
    class_names : sequence of str
        Names count, not ids: two projects that met the classes in another order
        agree on the digest of the same labels.

    Returns
    -------
    str
        sha256 of the sorted (uid, class name) pairs, as 64 hexadecimal digits.

    Examples
    --------
    >>> digest(["a", "b"], np.array([0, 1]), ["cat", "dog"]) == digest(
    ...     ["b", "a"], np.array([0, 1]), ["dog", "cat"])
    True
    """
    names = np.array([name.encode() for name in class_names] or [b""])
    # Neither a uid nor a class name holds a tab or a line break (sources.py).
    tabbed = np.strings.add(np.asarray(uids, dtype=np.bytes_), b"\t")
    pairs = np.strings.add(tabbed, names[class_ids_n]) if len(uids) else tabbed
    pairs.sort()
    return hashlib.sha256(b"\n".join(pairs.tolist())).hexdigest()


def diff(before: LabelTable, after: LabelTable) -> VersionDiff:
    """Count what was added, changed and removed per class. Cost: O(N log N)."""
    _, at_before, at_after = np.intersect1d(
        before.sample_ids_n, after.sample_ids_n, assume_unique=True, return_indices=True
    )
    differs = before.class_ids_n[at_before] != after.class_ids_n[at_after]
    return VersionDiff(
        added=_counts(np.delete(after.class_ids_n, at_after)),
        changed=_counts(after.class_ids_n[at_after[differs]]),
        removed=_counts(np.delete(before.class_ids_n, at_before)),
    )


def _counts(class_ids_n: Ids) -> dict[int, int]:
    ids, counts = np.unique(class_ids_n, return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))
