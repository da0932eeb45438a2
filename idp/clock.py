"""The time, from one place."""

from datetime import UTC, datetime


def utcnow() -> datetime:
    """The present moment, aware, in UTC. Only the edges (views, commands, workers) call this."""
    return datetime.now(UTC)
