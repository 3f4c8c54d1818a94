"""One distinct content among the files of an ingest, with all that was said about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.data.integrity import Inspection
from holdfast.data.offers import OfferedImage, Split, Statement
from holdfast.errors import IngestError


@dataclass(slots=True)
class Content:
    """One distinct content among the offered files.

    Attributes
    ----------
    name : str
        The first file that holds it.
    statements : list of (str, str)
        Every (class name, annotator or "") that came with one of its files, in order.
    others : mapping of str to str, or None
        Class name to the first file that names it, for classes other than the first.
    keys : mapping of (str, str) to list of str, or None
        Keys of those statements that have one.
    spoken : list of Statement, or None
        What named people said, in order; with an empty key where the source has none.
    """

    name: str
    num_bytes: int
    found: Inspection
    split: Split = ""
    group: str | None = None
    statements: list[tuple[str, str]] = field(default_factory=list)
    others: dict[str, str] | None = None
    keys: dict[tuple[str, str], list[str]] | None = None
    spoken: list[Statement] | None = None

    @property
    def usable(self) -> bool:
        """Whether it is an image that can be used."""
        return self.found.reason is None

    def add(self, offered: OfferedImage) -> None:
        """Take in what one file's source says.

        Raises
        ------
        IngestError
            If two files of one content are to lie on both sides of the split.
        """
        if {self.split, offered.split} == {"train", "holdout"}:
            raise IngestError(
                f"{self.name} and {offered.name} are the same image but one is in train and "
                "the other in holdout; put both on one side"
            )
        self.split = self.split or offered.split
        self.group = self.group or offered.group
        if offered.label:
            self._hear(offered.label, offered.annotator or "", offered.name)
            if offered.annotator:
                said = Statement(label=offered.label, annotator=offered.annotator, key="")
                self.spoken = self.spoken or []
                self.spoken.append(said)
        for one in offered.statements:
            self._hear(one.label, one.annotator, offered.name)
            self.keys = self.keys or {}
            self.keys.setdefault((one.label, one.annotator), []).append(one.key)
            self.spoken = self.spoken or []
            self.spoken.append(one)

    def _hear(self, label: str, annotator: str, name: str) -> None:
        self.statements.append((label, annotator))
        if label != self.statements[0][0]:
            self.others = {label: name} | (self.others or {})
