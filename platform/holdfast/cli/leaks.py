"""What commands say about copies of held-out samples that audits moved out of training."""

from __future__ import annotations

from holdfast.cli.output import count


def moved_out(number: int) -> dict[str, str]:
    """Return a fact for `output.facts`, or none where there are none."""
    if not number:
        return {}
    copies = count(number, "copy", "copies")
    return {"moved out": f"{copies} of held-out samples; `holdfast quarantine list` shows them"}
