"""Measurements beside peers: python -m benchmarks.<name>, JSON out."""
