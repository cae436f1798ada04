"""debugpy as it is sent to remotes: the pure-Python part of the version that we depend on, and
our guard beside it, as one archive whose bytes depend on nothing but its content.

Always this version, never one that the remote's environment has: an unknown one would be neither
tested nor guarded. It is unpacked once in the remote's state folder, found again by its digest.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import os
import re
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from sidecar.debug import guard
from sidecar.errors import RunError

GUARD = "sidecar_debugpy.py"
"""The guard's file name there: what an administrator sees in `ps`."""

OLDEST = (3, 10)
"""The oldest Python that this debugpy runs on."""

_LEFT_OUT = frozenset({"__pycache__", "pydevd_attach_to_process", "third_party", "tests"})
"""Compiled parts for other Pythons, and what attaching to a process by its id needs."""

_KEPT = (".py", "ThirdPartyNotices.txt")


class Bundle(NamedTuple):
    """`name` says what it is, with its version; `archive` is a .tar.gz."""

    name: str
    archive: bytes


def require_supported(python: str, interpreter: str) -> None:
    """Checks that debugpy runs on a remote interpreter of version `python`, like "3.11.7".

    Raises:
        RunError: naming the interpreter, its version and the way out.
    """
    found = re.match(r"(\d+)\.(\d+)", python)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise RunError(
            "The debugger cannot run with that Python",
            f"{interpreter} is {python or 'of an unknown version'}, "
            f"debugpy {version()} needs {oldest} or newer",
            "choose another interpreter with `sidecar envs use`, or `python` in the host's "
            "settings; runs without the debugger are not affected",
            code="debugger-python",
        )


def version() -> str:
    """The version of debugpy that is sent."""
    return metadata.version("debugpy")


@lru_cache(maxsize=1)
def bundle() -> Bundle:
    """The archive, made once per process (a third of a second).

    Raises:
        RunError: debugpy is not installed beside the sidecar.
    """
    spec = importlib.util.find_spec("debugpy")
    if spec is None or not spec.submodule_search_locations:
        raise RunError(
            "The debugger is missing here",
            "the sidecar's own environment has no debugpy to send to the remote",
            "install remote-sidecar again",
            code="debugger-missing",
        )
    folder = Path(spec.submodule_search_locations[0])
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, filename="") as compressed:
        with tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            _add(archive, GUARD, Path(guard.__file__).read_bytes())
            for path in sorted(_sources(folder)):
                name = f"debugpy/{path.relative_to(folder).as_posix()}"
                _add(archive, name, path.read_bytes())
            for name, text in _licences():
                _add(archive, f"debugpy/{name}", text)
    return Bundle(f"debugpy-{version()}", packed.getvalue())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = 0o644
    archive.addfile(member, io.BytesIO(content))


def _sources(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        for name in files:
            if name.endswith(_KEPT):
                yield Path(here, name)


def _licences() -> Iterator[tuple[str, bytes]]:
    """What debugpy's licence asks to be kept with every copy."""
    for file in metadata.files("debugpy") or ():
        if file.name.upper().startswith("LICENSE") and ".dist-info" in str(file):
            yield file.name, file.read_binary()
