"""Structured logs: one JSON object per line on standard error, never a secret."""

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from idp.config import LogSettings

EventDict = MutableMapping[str, Any]


def configure(settings: LogSettings, facts: Callable[[], dict[str, str]]) -> None:
    """Send structlog's and the standard library's logs the same way.

    `facts` returns the facts about a request for its lines (its id); it is called once for each line.
    """

    def add_facts(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event.update(facts())
        return event

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        add_facts,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if settings.format == "text":
        renderer = structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "logger", "event"])
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    # Authlib and the drivers write whole tokens and statements at DEBUG and INFO.
    for chatty in ("authlib", "sqlalchemy", "psycopg", "httpx2", "httpcore2", "alembic"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
