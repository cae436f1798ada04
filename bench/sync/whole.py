"""Whole trees: from the request until the peer says that it is done."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench import processes
from bench.results import Result
from bench.sync import trees
from bench.sync.peers import Copy, Peer
from bench.sync.scene import Scene
from bench.sync.wire import Traffic

FIRST = "first sync, the standard library"
SWITCH = "branch switch, 700 files"
NOTHING = "nothing changed, 20,000 files"
AGAIN = "nothing changed, 20,000 files, after a cut"


class Turn(NamedTuple):
    """A peer's part in a round. `prepare`: what comes before the clock starts; it names the trees,
    and what changes them when it has. `clear`: what comes after they were compared."""

    peer: Peer
    prepare: Callable[[], tuple[Copy, Callable[[], object]]]
    clear: Callable[[Copy], None] = lambda copy: None


def first(scene: Scene) -> list[Result]:
    """Into a folder that does not exist; for each round a new one. The connection stands."""
    made = 0

    def prepared(peer: Peer) -> tuple[Copy, Callable[[], object]]:
        nonlocal made
        made += 1
        copy = scene.copy(f"first-{made}", trees.standard_library, both=False)
        peer.meet(copy)
        return copy, nothing_at_all

    def remove(copy: Copy) -> None:
        scene.ours.leave(copy)
        shutil.rmtree(copy.here)
        shutil.rmtree(copy.there)

    peers = (scene.ours, scene.rsync, scene.rsync_z, scene.unison, scene.tar)
    return _rounds(
        scene,
        FIRST,
        [
            Turn(peer, lambda peer=peer: prepared(peer), remove)  # type: ignore[misc]
            for peer in peers
            if peer is not None
        ],
    )


def switch(scene: Scene) -> list[Result]:
    """500 files changed, 100 deleted, 100 new. The clock starts with the first of them and not, as
    a person's would, when git is done: our watcher begins while git writes, others only then."""

    def fill(root: Path) -> None:
        trees.switch(trees.modules(root, 2000, 6000), 0)()

    copies = _copies(scene, "switch", fill)
    branches = dict.fromkeys(copies.values(), 0)

    def switching(copy: Copy) -> tuple[Copy, Callable[[], object]]:
        branches[copy] += 1
        time.sleep(1.1)  # to another second: rsync goes by size and whole seconds
        return copy, trees.switch(copy.here, branches[copy])

    peers = (scene.ours, scene.rsync, scene.rsync_z, scene.unison)
    taking = [(peer, _of(copies, peer)) for peer in peers if peer is not None]
    for peer, copy in taking:
        peer.meet(copy)
    return _rounds(
        scene,
        SWITCH,
        [Turn(peer, lambda copy=copy: switching(copy)) for peer, copy in taking],  # type: ignore[misc]
    )


def nothing(scene: Scene) -> list[Result]:
    """Twice: the project is opened again over a connection that stands; and the connection was
    cut, so that sign-in and agent are new."""
    copies = _copies(scene, "nothing", trees.many)
    ours = copies["ours"]

    def reopened() -> tuple[Copy, Callable[[], object]]:
        scene.ours.leave(ours)
        scene.ours.open(ours)
        return ours, nothing_at_all

    def with_a_cut() -> tuple[Copy, Callable[[], object]]:
        agent = scene.agent()
        sessions = processes.below(scene.box.server)  # the outermost come first
        session = next(pid for pid in sessions if agent in processes.below(pid))
        return ours, lambda: os.kill(session, signal.SIGKILL)

    def unchanged(peer: Peer) -> Turn:
        return Turn(peer, lambda: (_of(copies, peer), nothing_at_all))

    others = [peer for peer in (scene.rsync, scene.unison) if peer is not None]
    for peer in (scene.ours, *others):
        peer.meet(_of(copies, peer))
    standing = [Turn(scene.ours, reopened), *map(unchanged, others)]
    cut = [Turn(scene.ours, with_a_cut), unchanged(scene.rsync_cold)]
    return [*_rounds(scene, NOTHING, standing), *_rounds(scene, AGAIN, cut)]


def nothing_at_all() -> None:
    """What is done to a tree that stays as it is."""


def _copies(scene: Scene, name: str, fill: Callable[[Path], object]) -> dict[str, Copy]:
    return {
        whose: scene.copy(f"{name}-{whose}", fill, both=True)
        for whose in ("ours", "others", "unison")
    }


def _of(copies: dict[str, Copy], peer: Peer) -> Copy:
    """Who remembers nothing shares a copy with others."""
    return copies.get({"sidecar": "ours"}.get(peer.name, peer.name), copies["others"])


def _rounds(scene: Scene, workload: str, turns: list[Turn]) -> list[Result]:
    samples: dict[str, list[float]] = {turn.peer.name: [] for turn in turns}
    traffic: dict[str, list[Traffic]] = {turn.peer.name: [] for turn in turns}
    for number in range(-1, scene.rounds):
        for turn in turns:
            before = scene.quiet()
            copy, change = turn.prepare()
            began = time.perf_counter()
            change()
            turn.peer.begin(copy)
            turn.peer.finish(copy)
            took = (time.perf_counter() - began) * 1000
            moved = scene.quiet() - before
            wrong = trees.difference(copy.here, copy.there)
            if wrong:
                raise RuntimeError(f"{workload}, {scene.link}: {turn.peer.name}: {wrong}")
            turn.clear(copy)
            if number >= 0:
                samples[turn.peer.name].append(took)
                traffic[turn.peer.name].append(moved)
    return [scene.result(workload, name, samples[name], traffic[name]) for name in samples]
