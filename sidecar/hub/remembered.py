"""The arguments that each file of a project was last run with from an editor, so that its next run
has them without their being typed again.

One file for each project, on this machine alone, readable by the person alone: arguments are what a
shell's history would hold. Unreadable is as empty.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sidecar.config import places

MOST_FILES = 200
"""Files of a project whose arguments are kept: those that ran last."""

LARGEST = 8192
"""Characters of the arguments of one file; who runs with more has a script for it."""

CLEAR = "--"
"""As the only argument: run without any from here on."""

_decoder = msgspec.json.Decoder(dict[str, list[str]])


class Arguments:
    """Those of one project. `target`: a file relative to its root, or "-m NAME"."""

    def __init__(self, root: Path) -> None:
        self._path = places.state_dir() / "arguments" / f"{places.root_key(root)}.json"

    def of(self, target: str) -> list[str]:
        return self._read().get(target, [])

    def keep(self, target: str, args: Sequence[str]) -> None:
        """None are forgotten."""
        known = self._read()
        known.pop(target, None)
        if args and sum(map(len, args)) <= LARGEST:
            known[target] = list(args)
        self._write(dict(list(known.items())[-MOST_FILES:]))

    def recall(self, target: str, given: Sequence[str]) -> list[str]:
        """The arguments of a run: what was given, which is kept, else those of the last one."""
        if not given:
            return self.of(target)
        args = list(given[1:] if given[0] == CLEAR else given)
        self.keep(target, args)
        return args

    def _read(self) -> dict[str, list[str]]:
        try:
            return _decoder.decode(self._path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            return {}

    def _write(self, known: dict[str, list[str]]) -> None:
        with contextlib.suppress(OSError):  # a run is worth more than its memory
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(msgspec.json.encode(known))
                os.replace(temporary, self._path)
            except BaseException:
                os.unlink(temporary)
                raise
