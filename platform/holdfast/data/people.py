"""What named people said of images that come in -> answers, though nobody had asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy.engine import Connection

from holdfast.data.content import Content
from holdfast.data.given import settle
from holdfast.data.offers import Statement
from holdfast.records import Answer, LabelEvent, RecordedAnswer
from holdfast.store import answers, labels, unasked


def record(
    connection: Connection,
    contents: Mapping[str, Content],
    sample_ids: Mapping[str, int],
    class_ids: Mapping[str, int],
    known: Sequence[int],
) -> int:
    """Write what named people said as answers, each once; return how many were new.

    The caller has written their label events and holds the transaction.

    Parameters
    ----------
    contents : mapping of str to Content
        By uid.
    sample_ids : mapping of str to int
        Of the contents to write about, by uid.
    class_ids : mapping of str to int
        By name.
    known : sequence of int
        Samples that may have answers already.

    Notes
    -----
    Cost: one statement with all rows, some 20 microseconds an answer; asking what the ledger
    has costs as much for known samples.
    """
    said = {
        (one.answer.external_id, one.answer.updated_at): one
        for one in _said(contents, sample_ids, class_ids)
    }
    before = answers.rows_of(connection, unasked.ORACLE, known) if said else []
    for row in before:
        said.pop((row.answer.external_id, row.answer.updated_at), None)
    num_added = unasked.add(connection, list(said.values()))
    edited = {row.answer.external_id for row in before}
    changed = {one.answer.sample_id for one in said.values() if one.answer.external_id in edited}
    # Its label rests on what somebody no longer says.
    stale = unasked.with_consensus(connection, sorted(changed))
    _say_again(connection, unasked.never_asked(connection, sorted(stale)))
    return num_added


def take_back(connection: Connection, answer_ids: Sequence[str]) -> int:
    """End answers that came with data and that are no longer there; return how many held.

    Labels go by what is left at once; those of samples that people were asked about, with the
    next consensus. The caller holds the transaction.
    """
    newest = {row.answer.external_id: row for row in unasked.rows_by_ids(connection, answer_ids)}
    ended = [_ended(row) for row in newest.values() if not row.withdrawn]
    unasked.add(connection, ended)
    concerned = sorted({row.answer.sample_id for row in ended})
    _say_again(connection, unasked.never_asked(connection, concerned))
    return len(ended)


def _said(
    contents: Mapping[str, Content], sample_ids: Mapping[str, int], class_ids: Mapping[str, int]
) -> Iterator[RecordedAnswer]:
    for uid, sample_id in sample_ids.items():
        for one in contents[uid].spoken or ():
            yield RecordedAnswer(
                answer=_answer(one, sample_id),
                query_key=None,
                oracle=unasked.ORACLE,
                class_id=class_ids[one.label],
            )


def _answer(said: Statement, sample_id: int) -> Answer:
    # A line of a manifest has no number and no time: one person has one answer about an image,
    # and naming another class edits it.
    own = said.answer_id or said.key
    return Answer(
        sample_id=sample_id,
        label=said.label,
        annotator=said.annotator,
        external_id=own or f"{sample_id}/{said.annotator}",
        updated_at=said.updated_at if own else said.label,
        comment=said.comment,
        seconds=said.seconds,
        answered_at=said.answered_at,
    )


def _ended(row: RecordedAnswer) -> RecordedAnswer:
    answer = replace(row.answer, label=None, updated_at=f"{row.answer.updated_at}/withdrawn")
    return replace(row, answer=answer, class_id=None, withdrawn=True)


def _say_again(connection: Connection, sample_ids: set[int]) -> None:
    """Withdraw the labels of some samples, and record once more what is still said of them."""
    if not sample_ids:
        return
    ids = sorted(sample_ids)
    names, number = labels.class_names(connection), answers.last_id(connection)
    given = labels.given_of(connection, np.array(ids, np.int64))
    said = {one: [(names[given[one]], "")] if one in given else [] for one in ids}
    for row in answers.current_about(connection, ids):
        if row.class_id is not None:
            said[row.answer.sample_id].append((names[row.class_id], row.answer.annotator))
    class_ids = {name: index for index, name in enumerate(names)}
    events = []
    for sample_id, statements in said.items():
        key = f"said again/{number}/{sample_id}"
        events.append(
            LabelEvent(
                sample_id=sample_id,
                kind="withdrawn",
                class_id=None,
                annotator="ingest",
                source_key=key,
            )
        )
        for name, who in settle(statements).said if statements else ():
            events.append(
                LabelEvent(
                    sample_id=sample_id,
                    kind="annotation" if who else "given",
                    class_id=class_ids[name],
                    annotator=who or "source",
                    source_key=f"{key}/{who}/{name}",
                )
            )
    labels.append(connection, events, None)
