"""A person's terminal: a command in a PTY, keys in, what it shows out."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PATIENCE = 60.0


class Terminal:
    """From the command's start to `close`."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], cwd: Path) -> None:
        self._master, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._process = subprocess.Popen(
            command,
            env={**environ, "TERM": "xterm-256color"},
            cwd=cwd,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(inner)

    def wait_for(self, text: bytes) -> None:
        seen = b""
        while text not in seen:
            seen += self._read(seen)

    def press(self, key: bytes) -> float:
        """Milliseconds from the key until it is shown."""
        began = time.perf_counter()
        os.write(self._master, key)
        shown = self._read(b"")
        took = (time.perf_counter() - began) * 1000
        if shown != key:
            raise RuntimeError(f"{shown!r} came for the key {key!r}")
        return took

    def close(self, key: bytes) -> None:
        """Presses the key that ends the program."""
        os.write(self._master, key)
        try:
            self._process.wait(PATIENCE)
        finally:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            os.close(self._master)

    def _read(self, seen: bytes) -> bytes:
        if not select.select([self._master], [], [], PATIENCE)[0]:
            raise RuntimeError(f"nothing more is shown after {seen[-500:]!r}")
        try:
            return os.read(self._master, 1 << 16)
        except OSError:
            raise RuntimeError(f"the program ended after {seen[-500:]!r}") from None
