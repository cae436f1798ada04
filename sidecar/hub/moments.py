"""Moments as a person reads them."""

from __future__ import annotations

from datetime import datetime


def when(moment: str) -> str:
    """A moment in ISO 8601 by the clock on the wall here: today's by the hour, older ones by the
    day."""
    try:
        then = datetime.fromisoformat(moment).astimezone()
    except ValueError:
        return moment or "-"
    today = datetime.now().astimezone().date()
    return f"{then:%H:%M:%S}" if then.date() == today else f"{then:%Y-%m-%d %H:%M}"
