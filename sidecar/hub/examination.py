"""What doctor runs on the remote: a program of its own, by the interpreter that the agent has.

It reads a line of JSON (`folder`, `state`, `python`), answers with a line of facts, and then, for
each line, takes as many bytes as that says (`take`) and says how many came, or gives as many
(`give`). It changes nothing: the file that it tries to write is gone at once. Standard library,
Python 3.8.
"""

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

BLOCK = 1 << 16


def main() -> None:
    wanted = json.loads(sys.stdin.buffer.readline())
    say(facts(wanted["folder"], wanted["state"], wanted["python"]))
    block = os.urandom(BLOCK)
    for line in iter(sys.stdin.buffer.readline, b""):
        wish = json.loads(line)
        if "take" in wish:
            left = wish["take"]
            while left:
                left -= len(sys.stdin.buffer.read(min(left, BLOCK))) or sys.exit(1)
            say(wish["take"])
        else:
            for at in range(0, wish["give"], BLOCK):
                sys.stdout.buffer.write(block[: wish["give"] - at])
            sys.stdout.buffer.flush()


def say(value: Any) -> None:
    sys.stdout.buffer.write(json.dumps(value).encode("ascii") + b"\n")
    sys.stdout.buffer.flush()


def facts(folder: str, state: str, python: str) -> dict[str, Any]:
    folder = expanded(folder)
    return {
        "folder": place(folder),
        "state": place(expanded(state)),
        "shell": os.environ.get("SHELL", ""),
        "watches": number("/proc/sys/fs/inotify/max_user_watches"),
        "python": version(expanded(python)) if python else "",
    }


def expanded(path: str) -> str:
    return os.path.expandvars(os.path.expanduser(path))


def place(path: str) -> dict[str, Any]:
    """What a path is, or would be made in; and whether it can be written."""
    there = os.path.isdir(path)
    other = os.path.lexists(path) and not there
    near = path
    while not os.path.isdir(near) and os.path.dirname(near) != near:
        near = os.path.dirname(near)
    disk = os.statvfs(near)
    return {
        "path": path,
        "real": os.path.realpath(path),
        "there": there,
        "other": other,
        "near": near,
        "free": disk.f_bavail * disk.f_frsize,
        "inodes": disk.f_favail if disk.f_files else -1,
        "system": file_system(near),
        "refused": writing(near),
    }


def writing(folder: str) -> str:
    """Why no file can be written there; "" if one can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * BLOCK)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""


def file_system(path: str) -> str:
    """Its kind, as /proc/self/mountinfo has it (proc(5)): the longest mount point wins."""
    real, found, kind = os.path.realpath(path), "", ""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
            for line in table:
                before, _, behind = line.partition(" - ")
                mount = before.split()[4].encode().decode("unicode_escape")
                inside = mount == "/" or real == mount or real.startswith(mount + "/")
                if inside and len(mount) >= len(found):
                    found, kind = mount, behind.split()[0]
    except (OSError, IndexError, ValueError):
        pass
    return kind


def number(path: str) -> int:
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return -1


def version(python: str) -> str:
    """Of an interpreter; or, behind an exclamation mark, why there is none."""
    code = "import sys; print('%d.%d.%d' % sys.version_info[:3])"
    try:
        done = subprocess.run(
            [python, "-I", "-c", code],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "!" + (getattr(error, "strerror", "") or "it gives no answer")
    if done.returncode:
        return "!" + (done.stderr.decode("utf-8", "replace").strip()[-200:] or "it fails")
    return done.stdout.decode("ascii", "replace").strip()


if __name__ == "__main__":
    main()
