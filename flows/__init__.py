"""Prefect flows: order, retries and schedules around the loop."""
