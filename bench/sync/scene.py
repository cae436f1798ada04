"""Where a workload takes place: a remote at the end of a line, and who takes part."""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench import processes
from bench.links import Link, Terms
from bench.remote import Remote, remote
from bench.results import Result
from bench.sync import trees
from bench.sync.ours import NotTold, Sidecar
from bench.sync.peers import Copy, Peer, Rsync, Sftp, Tar, Unison, missing
from bench.sync.wire import Traffic, Wire

POLL = 0.0002
"""Seconds between two looks at the file there."""

PATIENCE = 180.0
"""Seconds for anything to arrive; the whole 256 MB take 45 at 50 Mbit/s."""


OPTIONAL = ("unison", "sftp", "tar")
"""Programs that take part where they are installed; rsync must be."""


class Scene:
    """One workload's. Made by `scene`.

    Attributes:
        ours, rsync, rsync_z, rsync_cold: always there.
        unison, sftp, tar: None where it is not installed or not wanted.
        rounds: how many count.
    """

    def __init__(self, box: Remote, link: str, ssh: str, terms: Terms) -> None:
        self.box, self.link = box, link
        self.rounds, self.quick = terms.rounds, terms.quick
        self._wire = None
        if box.line is not None:
            self._wire = Wire(box.server, 2 * box.line.delay_ms / 1000)
        self.ours, self.not_told = Sidecar(box), NotTold()
        cold = f"ssh -F {box.ssh_config} -o ControlPath=none"
        self.rsync = Rsync(box.environ, ssh, compress=False)
        self.rsync_z = Rsync(box.environ, ssh, compress=True)
        self.rsync_cold = Rsync(box.environ, cold, compress=False, cold=True)
        self.unison = self.sftp = self.tar = None
        wanted = {name for name in OPTIONAL if name not in terms.without and not missing(name)}
        if "unison" in wanted:
            self.unison = Unison(box.environ, ssh, box.folder / "unison")
        if "sftp" in wanted:
            self.sftp = Sftp(box.environ, box.ssh_config)
        if "tar" in wanted and not missing("zstd"):
            self.tar = Tar(box.environ, ssh)

    def close(self) -> None:
        self.ours.close()
        if self.sftp is not None:
            self.sftp.close()

    def copy(self, name: str, fill: Callable[[Path], object], *, both: bool) -> Copy:
        """A new tree here; the same one there, too, or nothing."""
        copy = Copy(self.box.laptop / name, self.box.home / name)
        fill(copy.here)
        if both:
            shutil.copytree(copy.here, copy.there, symlinks=True)
        return copy

    def traffic(self) -> Traffic:
        return self._wire.traffic() if self._wire else Traffic(0, 0)

    def quiet(self) -> Traffic:
        """Waits until nothing moves on the line."""
        if self._wire is None:
            time.sleep(0.1)
            return Traffic(0, 0)
        return self._wire.quiet()

    def result(
        self, workload: str, peer: str, samples: list[float], traffic: list[Traffic]
    ) -> Result:
        up = down = -1
        if self._wire is not None:
            up = sorted(one.up for one in traffic)[len(traffic) // 2]
            down = sorted(one.down for one in traffic)[len(traffic) // 2]
        return Result(workload, self.link, peer, "ms", tuple(samples), up, down)

    def agent(self) -> int:
        """The agent's process id."""
        for pid in processes.below(self.box.server):
            words = processes.command(pid).split()
            if words and "python" in words[0] and "-c" in words:
                return pid
        raise RuntimeError("no agent runs")


@contextlib.contextmanager
def scene(link: Link, terms: Terms) -> Iterator[Scene]:
    """From entering to leaving; nothing is left of it, a hub in the middle of an upload neither."""
    with remote(link.line) as box, box.master() as ssh:
        made = Scene(box, link.name, ssh, terms)
        hub = 0
        try:
            keeper = made.copy("keeper", Path.mkdir, both=False)
            made.ours.meet(keeper)
            made.ours.sync(keeper)
            hub = made.ours.hub()
            yield made
        finally:
            made.close()
            if hub:
                processes.end(hub)


class Taker(NamedTuple):
    """One who takes part in a workload. `turns`: in each round."""

    peer: Peer
    copy: Copy
    turns: int = 1


def takers(*pairs: tuple[Peer | None, Copy, int]) -> list[Taker]:
    """Without those that are not installed."""
    return [Taker(peer, copy, turns) for peer, copy, turns in pairs if peer is not None]


def arrival(here: Path, there: Path, before: tuple[int, int, int], began: float, by: str) -> float:
    """Milliseconds from `began` until the content there is the content here.

    Args:
        before: how the file there looked.
        by: who brings it.
    """
    size = here.stat().st_size
    compared = before
    while True:
        now = time.perf_counter()
        if now - began > PATIENCE:
            raise RuntimeError(f"{here.name} does not arrive by {by}")
        look = looks(there)
        if look != compared and look[1] == size:
            if trees.same(here, there):
                return (now - began) * 1000
            if size > 1 << 20:  # not at every look, the comparison would take all the time
                compared = look
        time.sleep(POLL)


def looks(path: Path) -> tuple[int, int, int]:
    """By what a change of a file is noticed."""
    with contextlib.suppress(FileNotFoundError):
        stat = path.stat()
        return stat.st_ino, stat.st_size, stat.st_mtime_ns
    return 0, 0, 0


def seeded(name: str) -> random.Random:
    return random.Random(name)
