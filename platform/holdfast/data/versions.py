"""The identity of a set of labels, and what separates two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.records import Ids
from holdfast.store.label_digest import EMPTY, moved


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
        As `store.label_digest` defines it, as 64 hexadecimal digits.

    Examples
    --------
    >>> import numpy as np
    >>> digest(["a", "b"], np.array([0, 1]), ["cat", "dog"]) == digest(
    ...     ["b", "a"], np.array([0, 1]), ["dog", "cat"])
    True
    """
    names = (class_names[class_id] for class_id in class_ids_n.tolist())
    return moved(EMPTY, zip(uids, names, strict=True), ())


def compare(transitions: Mapping[tuple[int | None, int | None], int]) -> VersionDiff:
    """Count what was added, changed and removed per class.

    Parameters
    ----------
    transitions : mapping
        Samples by the class ids before and after, None where there was no label
        (`store.differences.transitions`).

    Examples
    --------
    >>> compare({(None, 0): 3, (0, 1): 2})
    VersionDiff(added={0: 3}, changed={1: 2}, removed={})
    """
    added: dict[int, int] = {}
    changed: dict[int, int] = {}
    removed: dict[int, int] = {}
    for (was, becomes), number in sorted(transitions.items(), key=str):
        if was is None and becomes is not None:
            added[becomes] = added.get(becomes, 0) + number
        elif becomes is None and was is not None:
            removed[was] = removed.get(was, 0) + number
        elif becomes is not None:
            changed[becomes] = changed.get(becomes, 0) + number
    return VersionDiff(added=added, changed=changed, removed=removed)
