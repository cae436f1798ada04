"""debugpy as it is sent to remotes: the sources of the release for the remote's Python, and our
guard beside them, as one archive whose bytes depend on nothing but its content.

Always a release that was tested (releases.py), never one that the remote's environment has: an
unknown one would be neither tested nor guarded. It is unpacked once in the remote's state folder,
found again by its digest.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from sidecar.debug import compiled, guard, injector, listeners, processes, releases
from sidecar.debug.releases import Release
from sidecar.errors import RunError

GUARD = "sidecar_debugpy.py"
"""The guard's file name there: what an administrator sees in `ps`."""

INJECTOR = "sidecar_injector.py"
"""That of what has a running program load debugpy."""

_OURS = {
    GUARD: guard,
    "sidecar_compiled.py": compiled,
    "sidecar_listeners.py": listeners,
    "sidecar_processes.py": processes,
    INJECTOR: injector,
}

_LEVEL = 9
"""Of compression: 0.1 s more than the usual 6, once, for 20 kB less to every new remote."""


class Bundle(NamedTuple):
    """`name` says what it is, with its version; `archive` is a .tar.gz."""

    name: str
    archive: bytes


@lru_cache(maxsize=2)
def bundle(release: Release = releases.CURRENT) -> Bundle:
    """The archive of a release, made once per process (half a second).

    Raises:
        RunError: the sidecar's own environment has not the debugpy that it needs.
    """
    files = installed()
    if release != releases.CURRENT:
        files = releases.before(files)
    packed = io.BytesIO()
    with gzip.GzipFile(
        fileobj=packed, mode="wb", compresslevel=_LEVEL, mtime=0, filename=""
    ) as compressed:
        with tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, module in _OURS.items():
                _add(archive, name, Path(str(module.__file__)).read_bytes())
            for name in sorted(files):
                _add(archive, name, files[name])
            _add(archive, "debugpy/LICENSE", _licence())
    return Bundle(f"debugpy-{release.version}", packed.getvalue())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = 0o644
    archive.addfile(member, io.BytesIO(content))


def installed() -> dict[str, bytes]:
    """The sources of debugpy in our own environment, named as in a wheel."""
    debugpy = distribution()
    return {
        file.as_posix(): releases.source(Path(str(debugpy.locate_file(file))).read_bytes())
        for file in debugpy.files or ()
        if file.parts[0] == "debugpy" and releases.travels(file.as_posix())
    }


def _licence() -> bytes:
    """What debugpy's licence asks to be kept with every copy."""
    texts = [
        file.read_binary()
        for file in distribution().files or ()
        if file.name.upper().startswith("LICENSE") and ".dist-info" in str(file)
    ]
    return releases.source(b"\n".join(texts))


def distribution() -> metadata.Distribution:
    """debugpy in our own environment.

    Raises:
        RunError: it is not there, or another release.
    """
    try:
        found = metadata.distribution("debugpy")
    except metadata.PackageNotFoundError:
        found = None
    if found is None or found.version != releases.CURRENT.version:
        what = f"debugpy {found.version}, which was not tested" if found else "no debugpy"
        raise RunError(
            "The debugger is missing here",
            f"the sidecar's own environment has {what}; what is sent to the remote is made from "
            f"debugpy {releases.CURRENT.version}",
            "install remote-sidecar again",
            code="debugger-missing",
        )
    return found
