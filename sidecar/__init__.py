"""Keeps a project on a laptop and its copy on a remote machine the same, and runs it there."""

__version__ = "0.1.0"
