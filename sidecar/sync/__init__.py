"""Keeping both copies of a project the same."""
