"""What runs while nothing happens: the hub and an agent, with a project of 20,000 files open."""

from __future__ import annotations

import time

from bench import processes
from bench.results import OURS, Result
from bench.sync import trees
from bench.sync.scene import Scene

HUB_CPU, AGENT_CPU = "idle, hub's CPU", "idle, agent's CPU"
HUB_MEMORY, AGENT_MEMORY = "idle, hub's memory", "idle, agent's memory"


def idle(scene: Scene) -> list[Result]:
    """CPU over a minute that begins when the first sync has settled; memory at its end."""
    copy = scene.copy("idle", trees.many, both=True)
    scene.ours.meet(copy)
    hub, agent = scene.ours.hub(), scene.agent()
    time.sleep(3 if scene.quick else 20)
    window = 10.0 if scene.quick else 60.0
    before = processes.cpu_seconds(hub), processes.cpu_seconds(agent)
    began = time.perf_counter()
    time.sleep(window)
    took = time.perf_counter() - began
    after = processes.cpu_seconds(hub), processes.cpu_seconds(agent)
    used = [(late - early) / took * 100 for late, early in zip(after, before, strict=True)]
    return [
        Result(HUB_CPU, scene.link, OURS, "%", (used[0],)),
        Result(AGENT_CPU, scene.link, OURS, "%", (used[1],)),
        Result(HUB_MEMORY, scene.link, OURS, "MB", (processes.resident_mb(hub),)),
        Result(AGENT_MEMORY, scene.link, OURS, "MB", (processes.resident_mb(agent),)),
    ]
