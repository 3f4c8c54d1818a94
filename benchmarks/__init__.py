"""Measurements beside peers: python -m benchmarks.<name>, JSON out."""

import holdfast  # noqa: F401  # first: it settles how many threads numpy loads with
