"""Old bytecode: removed where Python would take it for the new source's.

Python trusts a `.pyc` whose recorded mtime, in whole seconds, and size are those of the source.
Two versions of equal size, saved in one second and imported in between, would run the first one.
"""

import os
import stat
import struct

from sidecar.agent.failure import Refusal
from sidecar.agent.roots.folder import encode
from sidecar.agent.roots.root import DIRECTORY, open_file

_CACHE = b"__pycache__"
_HEADER = struct.Struct("<IIII")
_SUFFIXES = (".py", ".pyw")


def is_source(name: str) -> bool:
    return name.endswith(_SUFFIXES)


def is_cached(folder: int) -> bool:
    """Whether there may be bytecode of a folder's sources."""
    try:
        return stat.S_ISDIR(os.stat(_CACHE, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def drop(folder: int, name: str, source: os.stat_result) -> int:
    """Removes each `.pyc` of the source `name` that would be taken for what `source` is now.

    Args:
        folder: descriptor of the folder that holds the source.
    Returns:
        How many were removed.
    Raises:
        OSError: one that would be taken could not be removed.
    """
    try:
        cache = os.open(_CACHE, DIRECTORY, dir_fd=folder)
    except OSError:
        return 0  # no cache, or none that we may read, or a link that leads who knows where
    removed = 0
    try:
        stem = encode(name.rpartition(".")[0] + ".")
        for entry in os.listdir(cache):
            raw = os.fsencode(entry)
            if raw.startswith(stem) and raw.endswith(b".pyc") and _is_taken(cache, raw, source):
                os.unlink(raw, dir_fd=cache)
                removed += 1
    finally:
        os.close(cache)
    return removed


def _is_taken(cache: int, name: bytes, source: os.stat_result) -> bool:
    try:
        descriptor = open_file(cache, name)
    except (OSError, Refusal):
        return False
    try:
        header = os.read(descriptor, _HEADER.size)
    finally:
        os.close(descriptor)
    if len(header) < _HEADER.size:
        return False
    _, flags, second, third = _HEADER.unpack(header)
    seconds = (source.st_mtime_ns // 10**9) & 0xFFFFFFFF
    size = source.st_size & 0xFFFFFFFF
    # Since 3.7 flags come first, and 0 says that mtime and size follow; before, these came first.
    return (flags, second, third) == (0, seconds, size) or (flags, second) == (seconds, size)


def only_bytecode(folder: int) -> bool:
    """Whether a folder holds nothing but a `__pycache__` with nothing but `.pyc` files: what is
    left of a package whose modules were removed."""
    listed = os.open(b".", DIRECTORY, dir_fd=folder)
    try:
        if os.listdir(listed) != [_CACHE.decode()]:
            return False
        cache = os.open(_CACHE, DIRECTORY, dir_fd=listed)
    except OSError:
        return False
    finally:
        os.close(listed)
    try:
        with os.scandir(cache) as entries:
            return all(
                entry.name.endswith(".pyc") and entry.is_file(follow_symlinks=False)
                for entry in entries
            )
    finally:
        os.close(cache)


def remove_cache(folder: int) -> None:
    """Removes the `__pycache__` of a folder for which `only_bytecode` holds."""
    cache = os.open(_CACHE, DIRECTORY, dir_fd=folder)
    try:
        for name in os.listdir(cache):
            if name.endswith(".pyc"):
                os.unlink(os.fsencode(name), dir_fd=cache)
    finally:
        os.close(cache)
    os.rmdir(_CACHE, dir_fd=folder)
