"""An event loop in a thread of its own, so that a server outlives the loop of one test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for callers in other threads; `stop` ends what is left."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def call(self, work: Coroutine[Any, Any, T], timeout: float = 30) -> T:
        """Its result; never called from the loop's own thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def do(self, work: Callable[[], T], timeout: float = 30) -> T:
        """Runs a plain function on the loop's thread."""

        async def run() -> T:
            return work()

        return self.call(run(), timeout)

    def stop(self) -> None:
        async def cancel_all() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.get_running_loop().shutdown_default_executor()
            await asyncio.get_running_loop().shutdown_asyncgens()

        self.call(cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(20)
        self.loop.close()
