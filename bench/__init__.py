"""Measurements of the whole way, each one reproducible on one machine."""
