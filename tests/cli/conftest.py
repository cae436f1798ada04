"""Fixtures of the command line's tests."""

from tests.hub.laptop import connected, laptop, nearby

__all__ = ["connected", "laptop", "nearby"]
