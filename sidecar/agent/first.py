"""The first stage: what a fresh interpreter on the remote runs before anything of ours is there.

How the agent starts, told as a story; remote/bundle.py writes the texts.

1. The login shell gets one command: `exec sh -c '…' sidecar_agent WORD…`. The words are this file,
   compressed, in base64. Whatever the shell's files print before is noise.
2. sh looks for an interpreter, puts the words into an environment variable (so that `ps` shows a
   short command line) and replaces itself by `python -sSEB -X utf8 -c '…' sidecar_agent`: nothing
   of the person's environment is imported, no bytecode is written, names are UTF-8 in any locale.
3. That unpacks this file and calls `begin`, which prints the mark and the hello. One round trip
   has passed since the channel was opened: only now does the other side's sshd let stdin through,
   so this much had to come with the command.
4. While part one of the agent travels, a thread reads the project's folders, so that what the
   agent will ask of them is in the machine's memory already.
5. Part one arrives on stdin: a line with its length, then that many bytes. The loader takes it,
   the agent's loop begins, the rest comes as a message (messages.Modules).

Nothing is written to the remote's disk. Assumptions: (1) `sh`, `command -v`, and base64 letters
in single quotes work the same through every login shell; (2) an interpreter that runs this has
zlib, as our wire needs it; (3) nobody else reads this process's stdin.

This file is sent alone: it imports nothing of ours, and is small on purpose.
"""

import json
import os
import stat
import sys
import threading
import time
import types
import zlib
from collections import deque
from typing import Any, Deque, Dict

MARK = b"\0\1sidecar agent\2\0"
"""What no shell prints: it stands in front of the hello, and tells it from noise."""

WARM_ENTRIES = 50000
WARM_SECONDS = 5.0
"""The look at the project's folders ends at whichever comes first: it is a help, not a duty."""

SKIPPED = (".git", "node_modules", "__pycache__", ".venv")
"""Folders of many entries that the agent will hardly ask for."""

CUT_OFF = 92
"""core.exits.CUT_OFF; nothing of ours can be imported yet."""


def begin(arguments: Dict[str, Any]) -> None:
    """Says hello, receives the agent, runs it. Does not return.

    Args:
        arguments: see `main.run`; `root` and `protocol` are used here.
    """
    try:
        with open("/proc/self/comm", "w") as file:
            file.write("sidecar-agent")
    except OSError:
        pass  # not Linux: the command line says it too
    hello = json.dumps(describe(arguments["protocol"])).encode("ascii")
    write_all(1, MARK + hello + b"\n")
    if arguments["root"]:
        threading.Thread(target=warm, args=(arguments["root"],), daemon=True).start()
    part = json.loads(zlib.decompress(read_part(0)).decode("ascii"))
    loader: Any = types.ModuleType("sidecar.agent.loader")
    code = compile(part["now"][loader.__name__], "sidecar/agent/loader.py", "exec")
    exec(code, loader.__dict__)  # noqa: S102 - our own text, over our own connection
    sys.modules[loader.__name__] = loader
    loader.install(part["now"], part["later"])
    import sidecar.agent.main as main

    main.run(arguments)


def describe(protocol: int) -> Dict[str, Any]:
    """The hello: who and where we are."""
    uid = os.getuid()
    try:
        import pwd

        user = pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        user = os.environ.get("USER", "") or str(uid)
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
    except OSError:
        boot = ""
    return {
        "protocol": [protocol, protocol],
        "python": "%d.%d.%d" % sys.version_info[:3],
        "executable": sys.executable or "",
        "platform": sys.platform,
        "encoding": sys.getfilesystemencoding(),
        "machine": os.uname().nodename,
        "boot_id": boot,
        "user": user,
        "uid": uid,
        "home": os.path.expanduser("~"),
        "pid": os.getpid(),
        "clock_ns": time.time_ns(),
    }


def write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def read_part(fd: int) -> bytes:
    """A line with a length, then that many bytes; ends the process where stdin ends before."""
    line = b""
    while not line.endswith(b"\n"):
        line += read_some(fd, 1)
    data = bytearray()
    while len(data) < int(line):
        data += read_some(fd, int(line) - len(data))
    return bytes(data)


def read_some(fd: int, limit: int) -> bytes:
    data = os.read(fd, limit)
    if not data:
        sys.stderr.write("sidecar: the connection ended before the agent had arrived\n")
        sys.stderr.flush()
        os._exit(CUT_OFF)
    return data


def warm(path: str) -> int:
    """Asks for the status of what lies under a folder, nearest first, so that the next to ask
    finds it in memory. Stays on its file system. Returns how many it saw."""
    root = os.path.realpath(os.path.expandvars(os.path.expanduser(path)))
    seen, end = 0, time.monotonic() + WARM_SECONDS
    if root in ("/", os.path.realpath(os.path.expanduser("~"))):
        return seen
    try:
        device = os.stat(root).st_dev
    except OSError:
        return seen
    waiting: Deque[str] = deque([root])
    while waiting and seen < WARM_ENTRIES and time.monotonic() < end:
        try:
            with os.scandir(waiting.popleft()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    seen += 1
                    folder = stat.S_ISDIR(status.st_mode) and status.st_dev == device
                    if folder and entry.name not in SKIPPED:
                        waiting.append(entry.path)
                    if seen >= WARM_ENTRIES:
                        break
        except OSError:
            continue  # a folder that is not ours to read, or that has just gone
    return seen
