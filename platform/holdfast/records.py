"""Frozen values that cross stations.

Shape suffixes: n samples, k classes, d embedding dimensions, c channels, h rows, w columns.
Classes travel as *class ids*: the index of the class in the ledger, which never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]
Images = NDArray[np.uint8]

LabelKind = Literal["given", "annotation", "consensus", "withdrawn"]
AskReason = Literal["uncertain", "suspect", "random", "disagreement", "gold", "holdout"]
Tier = Literal["raw", "augmented", "training"]
QuestionState = Literal["open", "sent", "answered", "disputed", "settled", "withdrawn"]
# What an annotator may say instead of naming a class.
NONE_OF_THESE, BAD_IMAGE, SKIPPED = "none of these", "bad image", "skipped"
# The part of an item's score that says how little its group is like any known class.
NEW_CLASS = "new_class"
# Kinds of findings that doubt a label: what a person's answer settles. All others are about
# the image, and are for whoever keeps the data.
LABEL_FINDINGS = ("label_error", "label_conflict")


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelEvent:
    """Somebody said something about a sample.

    Attributes
    ----------
    sample_id : int
        The sample's row in the ledger.
    kind : str
        Who speaks: the record as it came (`given`), one annotator (`annotation`; without a
        round it came with the data), the annotators together (`consensus`); `withdrawn` takes
        the label away.
    class_id : int or None
        None only for `withdrawn`.
    source_key : str
        Unique: the same statement recorded twice is one event.
    """

    sample_id: int
    kind: LabelKind
    class_id: int | None
    annotator: str
    source_key: str


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Current labels as columns, ordered by sample id.

    Attributes
    ----------
    sample_ids_n, class_ids_n : ndarray of int64, shape (N,)
    verified_n : ndarray of bool, shape (N,)
        Whether a person confirmed the label after it was given.
    """

    sample_ids_n: Ids
    class_ids_n: Ids
    verified_n: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.sample_ids_n)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryItem:
    """One sample to ask about, and why.

    Attributes
    ----------
    score : float
        Acquisition score; higher = ask first.
    parts : mapping of str to float
        What the score is made of, for the person who wonders.
    guess : int or None
        Class id the model believes in; None without a model.
    confidence : float
        Probability of the guess, in [0, 1]; 0.0 without a model.
    """

    sample_id: int
    reason: AskReason
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)
    guess: int | None = None
    confidence: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """The samples asked about at once; `key` is the same however often it is sent."""

    round_number: int
    batch: int
    items: tuple[QueryItem, ...]

    @property
    def key(self) -> str:
        """`round-3` for a round's first batch, `round-3.2` for its second."""
        name = f"round-{self.round_number}"
        return name if self.batch == 1 else f"{name}.{self.batch}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One annotator's reply about one sample, as the oracle delivered it.

    Attributes
    ----------
    label : str or None
        Class name; None when the annotator named no class.
    external_id, updated_at : str
        With the oracle's name they identify the reply: an edited reply has a new
        `updated_at` and replaces the earlier one.
    remark : str
        `NONE_OF_THESE`, `BAD_IMAGE` or `SKIPPED` where no class was named for one of these
        reasons, else empty: the annotator could not tell.
    comment : str
        What the annotator wrote beside it.
    problem : str or None
        Why the reply cannot count, for people; None for one that can.
    seconds : float or None
        How long the annotator took; None where nobody measured it.
    answered_at : str or None
        When it was given, UTC, ISO 8601; None where the oracle does not say.
    """

    sample_id: int
    label: str | None
    annotator: str
    external_id: str
    updated_at: str
    remark: str = ""
    comment: str = ""
    problem: str | None = None
    seconds: float | None = None
    answered_at: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedAnswer:
    """An answer in the ledger: resolved to a class, or kept aside with a reason.

    Attributes
    ----------
    query_key : str or None
        None where nobody asked: it came with the data.
    class_id : int or None
        None where the answer names no class, cannot count or was taken back.
    withdrawn : bool
        The annotator took the answer back: it ends what `external_id` said before.
    id : int or None
        The ledger's own number; None before it is recorded.
    """

    answer: Answer
    query_key: str | None
    oracle: str
    class_id: int | None
    withdrawn: bool = False
    id: int | None = None

    @property
    def counts(self) -> bool:
        """Whether this is an answer: neither taken back nor in quarantine."""
        return not self.withdrawn and self.answer.problem is None


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionChange:
    """Where a question stands from now on; `reason` says why it was withdrawn or disputed."""

    query_key: str
    sample_id: int
    state: QuestionState
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One suspected problem of one sample.

    Attributes
    ----------
    kind : str
        Doubts about a label: `label_error`, `label_conflict` (two files of one content that
        were labeled differently). About copies: `exact_duplicate`, `near_duplicate`,
        `duplicate_across_splits`, `duplicate_conflict` (copies with different labels).
        About the image: `outlier`, and those of `quality.image_issues.KINDS`.
    score : float
        In [0, 1]; low = suspect. Comparable within a kind only.
    given, suggested : int or None
        Class ids on record and proposed.
    """

    sample_id: int
    kind: str
    score: float
    given: int | None
    suggested: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """What became of a finding after people answered."""

    sample_id: int
    outcome: Literal["corrected", "confirmed", "unresolved"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetVersion:
    """A watermark in the label log plus a recipe.

    Attributes
    ----------
    watermark : int
        Id of the last label event it may contain.
    excluded : tuple of (int, int)
        Ranges of event ids, both ends included, that a rollback took out.
    digest : str
        Of the (uid, class name) pairs, as `store.label_digest` defines it.
    tier : str
        `raw` is a set of labels; `augmented` adds how images are changed; `training` what is
        drawn how often. Each names the one below it as its parent.
    moment : int or None
        Since when exactly these labels held (`store.held_labels`); None: those that hold
        when the version is recorded.
    """

    round_number: int
    parent: int | None
    watermark: int
    excluded: tuple[tuple[int, int], ...]
    digest: str
    num_labels: int
    recipe: Mapping[str, object] = field(default_factory=dict)
    tier: Tier = "raw"
    moment: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRecord:
    """One learner state in the ledger; `sha256` is of its tensors file."""

    sha256: str
    round_number: int
    parent: str | None
    dataset_version: int
    metrics: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Promotion:
    """One change of champion. `expected` is the champion it replaces (None: the first)."""

    round_number: int
    expected: str | None
    champion: str
    dataset_version: int
    kind: Literal["promote", "rollback"]
    verdict: Mapping[str, object]
    who: str


class ImageRows(Protocol):
    """Images by row: an array of uint8, or something that reads them when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all rows: (N, C, H, W)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Ids | slice, /) -> Images:
        """Return the images of some rows, repeats included, in their order."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticImage:
    """A generated image that was admitted to an augmented version.

    Attributes
    ----------
    uid : str
        sha256 of its PNG bytes.
    generator : str
        sha256 of the weights that drew it.
    """

    uid: str
    class_id: int
    generator: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticMaterial:
    """Generated images to learn from beside samples; they are none themselves.

    Attributes
    ----------
    images_mchw : ndarray of uint8, shape (M, C, H, W)
    labels_m : ndarray of int64, shape (M,)
        Class ids; of classes the samples have.
    share : float
        In (0, 1): the part of what is drawn of their class that they make up.
    """

    images_mchw: Images
    labels_m: Ids
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Experience:
    """What the learner trains on at once.

    Attributes
    ----------
    number : int
        1 for the first experience a model ever learns; never restarts.
    sample_ids_n : ndarray of int64, shape (N,)
        New samples and samples whose label changed since the model last learned.
    images_nchw : ImageRows of uint8, shape (N, C, H, W)
        An array is held as a whole; anything else is read batch by batch.
    labels_n : ndarray of int64, shape (N,)
        Class ids.
    weights_n : ndarray of float32, shape (N,)
        Trust in each label, in [0, 1]; low = doubtful.
    withdrawn_ids : ndarray of int64, shape (M,)
        Samples that no longer have a label; the buffer lets go of them.
    synthetic : SyntheticMaterial or None
        Never kept as exemplars, never measured on.
    """

    number: int
    sample_ids_n: Ids
    images_nchw: ImageRows
    labels_n: Ids
    weights_n: Floats
    withdrawn_ids: Ids
    synthetic: SyntheticMaterial | None = None

    def __len__(self) -> int:
        return len(self.sample_ids_n)


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """Everything one phase adds to the ledger, written in one transaction.

    Attributes
    ----------
    sent : (str, mapping of int to str) or None
        Key of a query, and the oracle's own id of each question it took, by sample id.
    oracle_state : (str, mapping) or None
        Name of an oracle, and what it is to remember.
    quarantined : mapping of int to str
        Why, by sample id.
    quarantined_by : str
        On whose word.
    released : tuple of int
        Samples that leave the quarantine.
    versions : tuple of DatasetVersion
        Each the parent of the next.
    synthetic : tuple of SyntheticImage
        What the augmented one of the versions admits.
    """

    classes: tuple[str, ...] = ()
    label_events: tuple[LabelEvent, ...] = ()
    findings: tuple[Finding, ...] = ()
    settlements: tuple[Settlement, ...] = ()
    query: Query | None = None
    answers: tuple[RecordedAnswer, ...] = ()
    sent: tuple[str, Mapping[int, str | None]] | None = None
    questions: tuple[QuestionChange, ...] = ()
    oracle_state: tuple[str, Mapping[str, object]] | None = None
    quarantined: Mapping[int, str] = field(default_factory=dict)
    quarantined_by: str = "annotators"
    released: tuple[int, ...] = ()
    versions: tuple[DatasetVersion, ...] = ()
    synthetic: tuple[SyntheticImage, ...] = ()
    model: ModelRecord | None = None
    metrics: tuple[str, dict[str, object]] | None = None
    promotion: Promotion | None = None
