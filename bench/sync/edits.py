"""One file is edited: from the moment that it is written here until its content is there."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from bench.results import Result
from bench.sync import trees
from bench.sync.peers import Copy
from bench.sync.scene import Scene, Taker, arrival, looks, seeded, takers
from bench.sync.wire import Traffic

SAVE = "12 KB saved"
NOTEBOOK = "3 MB notebook, a cell inserted"

Edit = Callable[[Path, random.Random], None]

LARGE: dict[str, Edit] = {
    "256 MB, 1 KB overwritten": trees.overwrite,
    "256 MB, 100 B in front": trees.insert_in_front,
    "256 MB, 1 KB appended": trees.append,
    "256 MB, 200 insertions": trees.scatter,
}


def save(scene: Scene) -> list[Result]:
    """In a project of 2,000 files. Enough rounds for a 95th percentile of ours."""

    def fill(root: Path) -> None:
        trees.modules(root, 2000, 12_000)

    ours, others, unisons = copies(scene, "save", fill)
    return rounds(
        scene,
        SAVE,
        takers(
            (scene.ours, ours, 4),
            (scene.not_told, ours, 4),
            (scene.rsync, others, 1),
            (scene.rsync_cold, others, 1),
            (scene.unison, unisons, 1),
            (scene.sftp, others, 2),
        ),
        trees.SAVED,
        trees.save,
        scene.rounds * 2,
    )


def notebook(scene: Scene) -> list[Result]:
    def fill(root: Path) -> None:
        root.mkdir()
        trees.notebook(root)

    ours, others, unisons = copies(scene, "notebook", fill)
    return rounds(
        scene,
        NOTEBOOK,
        takers(
            (scene.ours, ours, 2),
            (scene.rsync, others, 1),
            (scene.rsync_z, others, 1),
            (scene.unison, unisons, 1),
            (scene.sftp, others, 1),
        ),
        trees.NOTEBOOK,
        trees.insert_cell,
        scene.rounds,
    )


def large(scene: Scene) -> list[Result]:
    """Random content. Whole-file peers take part once, with the first edit: any other costs them
    the same, and at 80 ms that is 45 s."""

    def fill(root: Path) -> None:
        root.mkdir()
        trees.large(root)

    ours, others, unisons = copies(scene, "large", fill)
    results: list[Result] = []
    for number, (workload, edit) in enumerate(LARGE.items()):
        taking = takers(
            (scene.ours, ours, 1),
            (scene.rsync, others, 1),
            (scene.rsync_z, others, 1),
            (scene.unison, unisons, 1),
        )
        met = number > 0
        results += rounds(scene, workload, taking, trees.LARGE, edit, scene.rounds, met=met)
        if number == 0 and scene.sftp is not None and not scene.quick:
            once = takers((scene.sftp, others, 1))
            results += rounds(scene, workload, once, trees.LARGE, edit, 1, warm=False)
    return results


def copies(scene: Scene, workload: str, fill: Callable[[Path], None]) -> tuple[Copy, Copy, Copy]:
    """Ours, one for those who keep nothing of their own, and Unison's, which does."""
    ours, others, unisons = (
        scene.copy(f"{workload}-{name}", fill, both=True) for name in ("ours", "others", "unison")
    )
    return ours, others, unisons


def rounds(
    scene: Scene,
    workload: str,
    taking: list[Taker],
    path: str,
    edit: Edit,
    count: int,
    *,
    met: bool = False,
    warm: bool = True,
) -> list[Result]:
    """Edits `path` so many times for each who takes part, in turns.

    Args:
        met: they know their copies already.
        warm: a first round is not counted.
    """
    choice = seeded(workload)
    samples: dict[str, list[float]] = {one.peer.name: [] for one in taking}
    traffic: dict[str, list[Traffic]] = {one.peer.name: [] for one in taking}
    if not met:
        for one in taking:
            one.peer.meet(one.copy)
    for number in range(-1 if warm else 0, count):
        for one in taking:
            for _ in range(one.turns if number >= 0 else 1):
                sample, moved = once(scene, one, one.copy, path, edit, choice)
                if number >= 0:
                    samples[one.peer.name].append(sample)
                    traffic[one.peer.name].append(moved)
    return [scene.result(workload, name, samples[name], traffic[name]) for name in samples]


def once(
    scene: Scene, one: Taker, copy: Copy, path: str, edit: Edit, choice: random.Random
) -> tuple[float, Traffic]:
    """Milliseconds until it is there, and the bytes of all that this took."""
    before, moved = looks(copy.there / path), scene.quiet()
    edit(copy.here / path, choice)
    began = time.perf_counter()
    one.peer.begin(copy, path)
    took = arrival(copy.here / path, copy.there / path, before, began, one.peer.name)
    one.peer.finish(copy, path)
    return took, scene.quiet() - moved
