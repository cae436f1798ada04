"""The hub's process: the top floor, where the hub meets its faces.

Started by `hub/process.py` as `python -m sidecar.daemon --ready-fd N`. What is heavy is imported
after the fork, so that the face which waits for the first process waits for little.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from sidecar import api
    from sidecar.hub.service import Service


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sidecar.daemon")
    parser.add_argument("--ready-fd", type=int, default=-1)
    parser.add_argument("--foreground", action="store_true", help="do not leave the terminal")
    options = parser.parse_args()
    if not options.foreground and os.fork() > 0:
        # The face waits for this process only; the hub is the child, adopted by init.
        os._exit(0)
    return _become_hub(options.ready_fd)


def _become_hub(ready: int) -> int:
    from sidecar.errors import SidecarError
    from sidecar.hub.life import Hub
    from sidecar.hub.logs import log_to_file
    from sidecar.hub.rest import loaded

    def tell(text: str) -> None:
        if ready >= 0:
            os.write(ready, text.encode())
            os.close(ready)

    loaded()
    os.umask(0o077)
    log_to_file()
    try:
        hub = Hub.own({"lsp": _serve_lsp})
    except SidecarError as error:
        tell(str(error))
        return 1
    hub.run(on_ready=lambda: tell("ready"))
    return 0


async def _serve_lsp(
    service: Service,
    hello: api.Hello,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """The LSP face. It is imported in a thread when the first editor comes: pygls takes a quarter
    of a second, which neither a command line nor a save under way should wait for."""
    import asyncio

    from sidecar.hub.rest import loaded

    first = "sidecar.lsp.server" not in sys.modules
    server = await asyncio.to_thread(importlib.import_module, "sidecar.lsp.server")
    if first:
        loaded()
    await server.serve_lsp(service, hello, reader, writer)


if __name__ == "__main__":
    sys.exit(main())
