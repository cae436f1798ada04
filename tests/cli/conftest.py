"""Fixtures of the hub's tests."""

from tests.hub.laptop import connected, laptop

__all__ = ["connected", "laptop"]
