"""The page of an audit: suspects side by side with what they are suspected of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from holdfast.evaluation.audit_page import AuditCard, AuditPage, Gallery, Table, render
from holdfast.evaluation.report import replace_text
from holdfast.phases.audit_now import AuditNow
from holdfast.phases.found import KINDS, Found
from holdfast.phases.image_audit import COPIES, OUTLIER, ImageAudit
from holdfast.phases.label_audit import LabelAudit
from holdfast.project import Project
from holdfast.records import Ids
from holdfast.store import samples

_SUSPECTS, _OTHERS, _SETS, _OF_A_SET, _ROWS = 60, 12, 12, 6, 10


def write_page(project: Project, done: AuditNow) -> Path:
    """Write `reports/audit.html` and return where it is.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    project.reports.mkdir(exist_ok=True)
    path = project.reports / "audit.html"
    replace_text(path, render(_page(project, done)))
    return path


def _page(project: Project, done: AuditNow) -> AuditPage:
    galleries = []
    for kind, table in done.found.items():
        # Copies are shown together, as sets.
        if kind not in COPIES:
            most = _SUSPECTS if kind == "label_error" else _OTHERS
            galleries.append(_gallery(project, done, kind, table, most))
    kinds = [kind for kind in COPIES if kind in done.found]
    if done.audit.images is not None and kinds:
        galleries.insert(min(1, len(galleries)), _copies(project, done, done.audit.images))
    return AuditPage(
        title=project.root.name,
        made_at=datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        errors=done.errors,
        tiles=_tiles(done),
        tables=(*_label_tables(done, done.audit.labels), *_image_tables(done.audit.images)),
        galleries=tuple(one for one in galleries if one.total or len(done.found) == 1),
    )


def _tiles(done: AuditNow) -> tuple[tuple[str, str, str], ...]:
    tiles = []
    if done.audit.labels is not None:
        report, table = done.audit.labels.report, done.audit.labels.table
        share = report.num_errors / max(len(table), 1)
        tiles += [
            ("Labels", f"{len(table):,}", f"{int(table.verified_n.sum()):,} confirmed by people"),
            ("Wrong, estimated", f"{report.num_errors:,}", f"{share:.1%} of the labels"),
            (
                "Look wrong",
                f"{len(done.audit.labels.flagged()):,}",
                "above the cut, for people to look at",
            ),
        ]
    if done.audit.images is not None:
        images = done.audit.images
        poor = [kind for kind in images.found if kind not in (*COPIES, OUTLIER)]
        marked = [done.found[kind].sample_ids_s for kind in poor if kind in done.found]
        num_poor = len(np.unique(np.concatenate(marked))) if marked else 0
        tiles += [
            ("Images", f"{len(images.sample_ids_n):,}", "not in quarantine"),
            (
                "Sets of copies",
                f"{images.copies.num_sets:,}",
                f"{len(images.leaks):,} across the split",
            ),
            ("Poor pictures", f"{num_poor:,}", "dark, blurry, odd and so on"),
        ]
    return tuple(tiles)


def _label_tables(done: AuditNow, found: LabelAudit | None) -> tuple[Table, ...]:
    if found is None:
        return ()
    flags = np.bincount(found.flagged().given_s, minlength=len(done.class_names))
    classes = [
        [name, f"{size:,}", f"{flagged:,}", f"{flagged / size:.1%}"]
        for name, size, flagged in zip(
            done.class_names, done.class_sizes, flags.tolist(), strict=True
        )
        if size
    ]
    pairs = [
        [
            f"{done.class_names[pair.first]} and {done.class_names[pair.second]}",
            f"{pair.first_as_second:,} of {done.class_names[pair.first]} ({pair.first_rate:.1%})",
            f"{pair.second_as_first:,} of {done.class_names[pair.second]} ({pair.second_rate:.1%})",
        ]
        for pair in found.pairs[:_ROWS]
    ]
    groups = [
        [
            f"like {one.name}" if one.is_cluster else one.name,
            f"{one.found.size:,}",
            f"{one.found.rate:.1%}",
            f"{one.found.low:.1%} to {one.found.high:.1%}",
            f"{one.found.expected:.1%}",
            f"{one.found.p_value:.1g}",
        ]
        for one in found.groups[:_ROWS]
    ]
    return (
        Table(
            title="Labels that look wrong, by class",
            lead="Doubt counts each class against itself, so that rare classes are not blamed "
            "for being rare.",
            head=["Class", "Labels", "Look wrong", "Share"],
            rows=classes,
        ),
        Table(
            title="Classes taken for each other",
            lead="Pairs that are confused clearly more often than pairs of this set are.",
            head=["Pair", "Look like the second", "Look like the first"],
            rows=pairs,
            text=3,
            nothing="No pair of classes stands out.",
        ),
        Table(
            title="Groups that do worse",
            lead="Groups whose predictions disagree with their labels more often than other "
            "samples of the same classes do.",
            head=["Group", "Samples", "Disagree", "95 % interval", "Expected", "By chance"],
            rows=groups,
            nothing="No group stands out.",
        ),
    )


def _image_tables(found: ImageAudit | None) -> tuple[Table, ...]:
    if found is None:
        return ()
    rows = [
        [name, "yes" if test.dependent else "no", f"{test.statistic:.3f}", f"{test.p_value:.2f}"]
        for name, test in (
            ("in all", found.order),
            ("within classes and groups", found.order_inside),
        )
    ]
    return (
        Table(
            title="Order of the images",
            lead="Whether images that look alike came in near each other. A folder per class "
            "gives a yes in all; a yes within classes and groups tells of bursts or drift, whose "
            "images should share a group.",
            head=["", "Follows the pictures", "Strength", "By chance"],
            rows=rows,
            text=2,
        ),
    )


def _gallery(project: Project, done: AuditNow, kind: str, table: Found, most: int) -> Gallery:
    rows = np.arange(min(most, len(table)))
    scores = table.scores_s[rows].tolist()
    return Gallery(
        title=_capital(KINDS[kind]),
        lead=_LEADS.get(kind, "By CleanVision's measures, the worst first."),
        cards=_cards(
            project,
            done,
            table.sample_ids_s[rows],
            table.given_s[rows],
            table.suggested_s[rows],
            [(f"score {score:.2f}",) for score in scores],
        ),
        total=len(table),
    )


def _copies(project: Project, done: AuditNow, images: ImageAudit) -> Gallery:
    # Sets that do harm come first.
    disputed = np.unique(images.copies.mixed(_label_codes(images)))
    others = np.arange(images.copies.num_sets)
    order = np.concatenate([images.leaks, disputed, others])
    _, first = np.unique(order, return_index=True)
    shown = order[np.sort(first)][:_SETS].tolist()
    held_out = set(images.leaks.tolist())
    ids, notes = [], []
    for place, number in enumerate(shown, start=1):
        rows = images.copies.members(number)[:_OF_A_SET]
        leak = ", in training and holdout" if number in held_out else ""
        ids.append(images.sample_ids_n[rows])
        notes += [(f"set {place}{leak}",)] * len(rows)
    sample_ids = np.concatenate(ids) if ids else np.empty(0, np.int64)
    given = _label_codes(images)[np.searchsorted(images.sample_ids_n, sample_ids)]
    return Gallery(
        title="Copies",
        lead="Pictures that are the same, or far closer to each other than to all others.",
        cards=_cards(project, done, sample_ids, given, given, notes),
        total=len(images.copies.rows_s),
    )


def _label_codes(images: ImageAudit) -> Ids:
    """Return the class on record of each sample that is a copy, -1 for all others."""
    codes = np.full(len(images.sample_ids_n), -1, np.int64)
    for kind in ("exact_duplicate", "near_duplicate"):
        table = images.found[kind]
        codes[np.searchsorted(images.sample_ids_n, table.sample_ids_s)] = table.given_s
    return codes


def _cards(
    project: Project,
    done: AuditNow,
    sample_ids: Ids,
    given: Ids,
    suggested: Ids,
    notes: Sequence[tuple[str, ...]],
) -> tuple[AuditCard, ...]:
    with project.ledger.read() as connection:
        uids = samples.uids_of(connection, sample_ids)
        sources = samples.sources_of(connection, sample_ids)
    return tuple(
        AuditCard(
            image=image,
            source=Path(source).name,
            given=done.class_name(on_record) or "",
            suggested=done.class_name(proposed) or "",
            notes=note,
        )
        for image, source, on_record, proposed, note in zip(
            project.images.read(uids),
            sources,
            given.tolist(),
            suggested.tolist(),
            notes,
            strict=True,
        )
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_LEADS = {
    "label_error": "The label on record, and what the other labels suggest instead. The score "
    "is the probability that the label is right: low is suspect.",
    "outlier": "Far from their nearest others, by how the picture looks.",
}
