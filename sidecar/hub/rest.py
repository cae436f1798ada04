"""The hub at rest: what it gives back once work has ended, of memory and of the collector's time.

A hub lives for days, and mostly does nothing. What a first sync of 20,000 files, or a job that
printed a gigabyte, leaves behind is not lost, but kept for the next time by the interpreter (lists
of free objects, which hold whole megabytes of others' neighbours in place) and by the C library.
Where the process was busy and then was not, it is given back: 12 of 107 MB after that first sync.
"""

from __future__ import annotations

import asyncio
import gc
import linecache
import time

from sidecar.agent import memory

BEAT = 5.0
"""Seconds between two looks at the clock of our own CPU time; one takes some microseconds."""

BUSY = 0.25
"""Seconds of CPU time since the last rest that make another one worth its milliseconds."""

STILL = 0.02
"""Share of a core below which nothing is going on."""


def loaded() -> None:
    """Modules were imported that stay until the hub ends: the collector need not look at them each
    time. For such moments alone: what else there is stays as well, garbage or not.

    Of all that is in use here modules have nine tenths, and a full collection, which nobody can
    interrupt, took 30 ms with them. Without them it comes sooner, too."""
    gc.freeze()
    # attrs keeps the source of each method that it made, of 576 classes of LSP: 2.5 MB for those
    # who debug attrs.
    made = [name for name in linecache.cache if name.startswith("<attrs generated")]
    for name in made:
        del linecache.cache[name]


class Work:
    """Whether there was some and it has ended, by our own CPU time, in seconds, at each beat."""

    def __init__(self, used: float) -> None:
        self._looked = self._rested = used

    def is_over(self, used: float) -> bool:
        before, self._looked = self._looked, used
        over = used - self._rested > BUSY and used - before < STILL * BEAT
        if over:
            self._rested = used
        return over


async def rest() -> None:
    """Until it is cancelled."""
    work = Work(time.process_time())
    while True:
        await asyncio.sleep(BEAT)
        if work.is_over(time.process_time()):
            # In the loop: it has nothing else to do, and the collector stops all threads anyway.
            gc.collect()
            await asyncio.to_thread(memory.give_back)
