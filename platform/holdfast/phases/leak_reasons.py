"""Why copies of held-out samples lie in quarantine, and how many do."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from holdfast.store import quarantine

EXACT_REASON = "a copy of a held-out sample"
NEAR_REASON = "nearly a copy of a held-out sample"
REASONS = (EXACT_REASON, NEAR_REASON)


def num_moved_out(connection: Connection) -> int:
    """Return how many samples are in quarantine now because they are copies of held-out ones."""
    reasons = quarantine.by_reason(connection)
    return sum(reasons.get(reason, 0) for reason in REASONS)
