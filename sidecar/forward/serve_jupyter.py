"""Runs a Jupyter server on the remote that has no port at all.

It listens on a Unix socket in a folder that is our user's alone, and its kernels talk over sockets
in the same folder: by default they listen on ports of the loopback, where any user of the machine
may read along what a kernel prints. (ipykernel keeps one port, for what its child processes print:
nothing can be read there, and what is written must begin with a secret of the kernel's.) The token
comes in the environment (JUPYTER_TOKEN), which nobody else can read.

This file is a program of its own: it travels (servers.py), and is started with the project's
interpreter as `python sidecar_jupyter.py ARGUMENTS…`. JupyterLab is what it shows where that is
installed.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import os
import shutil
import stat
import sys
import tempfile
from typing import Any

EXIT_MISSING = 4

SOCKET = "jupyter.sock"

MISSING = (
    "Jupyter is not installed for {python}: `{python} -m pip install jupyter-server ipykernel`"
)

KINDS = {
    "jupyterlab": "jupyterlab.labapp",
    "notebook": "notebook.app",
    "jupyter_server": "jupyter_server.serverapp",
}
"""What is run, the first that is there. All of them are the server, with pages or without."""


def runtime_folder() -> str | None:
    """Where the sockets of this job's supervisor lie (agent/supervisor/control.py), so that nothing
    of ours is anywhere else; None, the usual place for such, where that is not ours alone."""
    candidates = [f"/tmp/sidecar-{os.geteuid()}"]  # noqa: S108 - owner and mode are looked at
    if os.environ.get("XDG_RUNTIME_DIR"):
        candidates.insert(0, os.path.join(os.environ["XDG_RUNTIME_DIR"], "sidecar"))
    for path in candidates:
        try:
            found = os.lstat(path)
        except OSError:
            continue
        is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
        if is_ours and not found.st_mode & 0o077:
            return path
    return None


def main() -> None:
    own = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [one for one in sys.path if os.path.abspath(one or ".") != own]
    kind = next((one for one in KINDS if importlib.util.find_spec(one)), "")
    if not kind or not importlib.util.find_spec("jupyter_server"):
        print(MISSING.format(python=sys.executable), file=sys.stderr)
        sys.exit(EXIT_MISSING)
    folder = tempfile.mkdtemp(prefix="jupyter-", dir=runtime_folder())  # of mode 0700
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["JUPYTER_RUNTIME_DIR"] = folder
    app: Any = importlib.import_module(KINDS[kind])
    arguments = [
        f"--ServerApp.sock={os.path.join(folder, SOCKET)}",
        "--ServerApp.sock_mode=0600",
        "--ServerApp.open_browser=False",
        "--KernelManager.transport=ipc",
        *(["--allow-root"] if os.geteuid() == 0 else []),
        *sys.argv[1:],
    ]
    sys.argv[:] = [f"jupyter-{'lab' if kind == 'jupyterlab' else 'server'}", *arguments]
    app.main()


if __name__ == "__main__":
    main()
