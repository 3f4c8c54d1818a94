"""One round, or a whole project, as one self-contained HTML page and as JSON."""

from __future__ import annotations

import json
import os
import tempfile
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from holdfast.evaluation import audit_section, charts, sections
from holdfast.evaluation.report_data import ReportData, to_json


def render(data: ReportData) -> str:
    """Return the report as an HTML page that needs nothing but itself.

    Pictures are inline, names are escaped, and every part without data says why. The same
    data always give the same page.
    """
    parts = (
        sections.tiles,
        sections.advice,
        sections.rounds,
        charts.learning,
        charts.classes,
        charts.confusion,
        audit_section.audit,
        sections.gallery,
        sections.decisions,
        sections.records,
    )
    return page(data.title, _subtitle(data), "\n".join(part(data) for part in parts), _footer(data))


def page(title: str, subtitle: str, body_html: str, footer_html: str) -> str:
    """Return a page in the style of all reports."""
    template = files("holdfast.evaluation").joinpath("report.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        title=escape(title), subtitle=escape(subtitle), body=body_html, footer=footer_html
    )


def write(html_path: Path, json_path: Path, data: ReportData) -> None:
    """Write the page and its JSON; a reader sees the old files or the new ones, never half.

    Raises
    ------
    OSError
        If a folder is missing or cannot be written.
    """
    shown = render(data)
    numbers = json.dumps(to_json(data), indent=2, allow_nan=False, ensure_ascii=False)
    replace_text(json_path, numbers + "\n")
    replace_text(html_path, shown)


def _subtitle(data: ReportData) -> str:
    number = max((r.number for arm in data.arms[:1] for r in arm.rounds), default=0)
    state = f"After round {number}" if number else "Before the first round"
    return f"{state} · {len(data.class_names)} classes · {data.made_at}"


def _footer(data: ReportData) -> str:
    facts = [
        ("model in use", data.champion[:12] or "none yet"),
        ("configuration", data.config_digest[:12] or "unknown"),
    ]
    said = " · ".join(f"{escape(name)} <code>{escape(value)}</code>" for name, value in facts)
    return f"Holdfast report · {said}"


def replace_text(path: Path, text: str) -> None:
    """Write a text file; a reader sees the old one or the new one, never half.

    Raises
    ------
    OSError
        If the folder is missing or cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner may read; reports are for the team.
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
