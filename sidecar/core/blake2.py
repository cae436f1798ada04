"""BLAKE2b without what else `hashlib` loads: OpenSSL, for 4 of an agent's 22 MB and 11 ms of its
start. `hashlib` itself has BLAKE2b from here."""

try:
    from _blake2 import blake2b
except ImportError:  # an interpreter that keeps it elsewhere
    from hashlib import blake2b

__all__ = ["blake2b"]
