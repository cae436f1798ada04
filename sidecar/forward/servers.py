"""The servers that we start there: what is sent along, and how each is started.

They run as jobs, with the project's interpreter and environment; what makes them reachable for our
own user alone is in serve_tensorboard.py and serve_jupyter.py.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from sidecar.agent import sockets
from sidecar.forward import serve_jupyter, serve_tensorboard

NAME = "servers-1"

Kind = Literal["tensorboard", "jupyter"]


class Server(NamedTuple):
    """`port`: the usual one. `program`: in the archive. `page`: what is opened first."""

    name: str
    port: int
    program: str
    page: str = ""


SERVERS: dict[Kind, Server] = {
    "tensorboard": Server("TensorBoard", 6006, "sidecar_tensorboard.py"),
    "jupyter": Server("Jupyter", 8888, "sidecar_jupyter.py"),
}


@lru_cache(maxsize=1)
def archive() -> bytes:
    """The programs as a .tar.gz whose bytes depend on nothing but their content."""
    packed = io.BytesIO()
    files = {
        SERVERS["tensorboard"].program: serve_tensorboard.__file__,
        SERVERS["jupyter"].program: serve_jupyter.__file__,
        "sidecar_sockets.py": sockets.__file__,
    }
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, filename="") as compressed:
        with tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as whole:
            for name, source in sorted(files.items()):
                content = Path(source).read_bytes()
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o644
                whole.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def arguments(kind: Kind, given: Sequence[str], cwd: str) -> list[str]:
    """What the program is started with.

    Args:
        given: by the person; of TensorBoard, a first one without a dash is the logs' folder.
        cwd: where it runs, by its path here: a folder of the project is named relative to it.
    """
    if kind == "jupyter":
        return list(given)
    rest = list(given)
    folder = rest.pop(0) if rest and not rest[0].startswith("-") else ""
    if folder and os.path.isabs(folder):
        inside = os.path.relpath(folder, cwd)
        folder = folder if inside.startswith("..") else inside
    logs = [] if any(one.startswith("--logdir") for one in rest) else ["--logdir", folder or "."]
    return [*logs, "--host", "127.0.0.1", "--port", "0", "--load_fast=false", *rest]
