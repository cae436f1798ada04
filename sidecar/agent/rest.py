"""What an agent does once all of it has come and nobody waits for it.

The modules that the next request is likely to need are compiled, so that a first run or a first
batch of changes does not wait for it. The others (streams, git, installing, repairs, …) are when
somebody wants them: a handler's module with all below it takes some milliseconds then, and a
megabyte until the agent ends, of which most agents need nothing.
"""

import importlib

from sidecar.agent import memory

LIKELY = ("sidecar.agent.changes.batches", "sidecar.agent.jobs.jobs")


def prepare() -> None:
    for name in LIKELY:
        importlib.import_module(name)
    memory.give_back()
