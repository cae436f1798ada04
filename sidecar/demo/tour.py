"""The tour itself: what happens, shown as it happens, with times at the end."""

from __future__ import annotations

import base64
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

from sidecar.demo import world as worlds
from sidecar.demo.debugger import Debugger
from sidecar.demo.editor import Editor
from sidecar.demo.show import Show, seconds
from sidecar.demo.world import DATA_SIZE, World
from sidecar.errors import SidecarError

BREAK_AT = "return float(loss)"
PATIENCE = 30.0


def main(*, keep: bool = False, out: TextIO = sys.stdout) -> int:
    """Runs the tour, or leaves its world up until Ctrl-C.

    Returns:
        An exit status: 0 where all of it worked.
    """
    show = Show(out)
    show.title("sidecar: edit here, run there")
    show.line("The remote machine of this tour is an SSH server on this one's loopback,")
    show.line("with a home folder and a Python environment of its own.")
    began = time.monotonic()
    with show.waiting("the remote's environment (scikit-learn; made once)"):
        python = worlds.remote_python()
    show.done("remote environment ready", time.monotonic() - began)
    with worlds.world(python) as world:
        return _keep(world, show) if keep else Tour(world, show).run()


class Tour:
    """One walk through the main job. Times are kept for the table."""

    def __init__(self, world: World, show: Show) -> None:
        self._world, self._show = world, show
        self._times: list[tuple[str, str]] = []
        self._step = 0
        self._editor = Editor(world.project, world.environ)

    def run(self) -> int:
        try:
            self._connect()
            self._edit()
            self._run("Run it there", "save → first output")
            self._large_file()
            self._debug()
            self._run("Run it again", "save → first output, again")
            self._times_table()
            return 0
        finally:
            self._editor.close()

    def _connect(self) -> None:
        self._title("An editor opens the project")
        began = time.monotonic()
        self._editor.open()
        self._editor.wait_for("sidecar/didChangeStatus", lambda health: health["state"] == "ready")
        took = time.monotonic() - began
        sent = sorted(
            str(path.relative_to(self._world.remote_project))
            for path in self._world.remote_project.rglob("*")
            if path.is_file() and ".sidecar" not in path.parts
        )
        self._show.line(f"connected to {worlds.HOST} and sent {len(sent)} files:")
        self._show.quote("  ".join(sent))
        self._keep_time("connect, start the agent, first sync", took)

    def _edit(self) -> None:
        self._title("Edit and save")
        took = self._save_line("digits/model.py", "RATE = 0.002", "RATE = 0.02")
        self._show.line("digits/model.py: RATE = 0.002 → 0.02, saved; and there:")
        remote = (self._world.remote_project / "digits/model.py").read_text()
        self._show.quote(next(line for line in remote.splitlines() if line.startswith("RATE")))
        self._keep_time("save → visible there", took)

    def _run(self, title: str, label: str) -> None:
        self._title(title)
        train = self._world.project / "train.py"
        text = train.read_text()
        train.write_text(text.replace("EPOCHS = 8", "EPOCHS = 5") + "\n")
        began = time.monotonic()
        self._editor.save(train)
        answer = self._editor.request("sidecar/run", {"target": str(train)})
        self._show.line(answer["headline"])
        first, output, status = self._follow(answer["job"])
        self._show.quote(output)
        if status:
            raise SidecarError("The demo's program failed", f"exit status {status}")
        self._keep_time(label, first - began)

    def _follow(self, job: str) -> tuple[float, str, int]:
        """When the first output came, all of it, and the exit status."""
        first = 0.0
        output: list[tuple[int, bytes]] = []

        def of_job(message: dict[str, Any]) -> bool:
            return bool(message["job"] == job)

        finished = threading.Event()
        status = 0

        def wait_for_exit() -> None:
            nonlocal status
            try:
                status = int(self._editor.wait_for("sidecar/exited", of_job)["status"])
            finally:
                finished.set()

        waiting = threading.Thread(target=wait_for_exit, daemon=True)
        waiting.start()
        while True:
            part = self._editor.wait_for("sidecar/output", of_job)
            first = first or time.monotonic()
            data = part["data"]
            raw = base64.b64decode(data) if part["encoding"] == "base64" else data.encode()
            output.append((part["offset"], raw))
            if b"plotted to" in raw:
                break
        finished.wait()
        return first, b"".join(raw for _, raw in sorted(output)).decode(), status

    def _large_file(self) -> None:
        self._title("A data file of 50 MB, changed in its middle")
        path = self._world.project / "samples.bin"
        path.write_bytes(random.Random(7).randbytes(DATA_SIZE))  # noqa: S311
        self._editor.save(path)
        self._editor.wait_for("sidecar/synced", lambda synced: "samples.bin" in synced["paths"])
        self._show.line("sent whole once; now 1,000 bytes in its middle are overwritten")
        with path.open("r+b") as file:
            file.seek(DATA_SIZE // 2)
            file.write(bytes(1000))
        began = time.monotonic()
        self._editor.save(path)
        synced = self._editor.wait_for(
            "sidecar/synced", lambda synced: "samples.bin" in synced["paths"]
        )
        took = time.monotonic() - began
        if path.read_bytes() != (self._world.remote_project / "samples.bin").read_bytes():
            raise SidecarError("The file there is not the file here")
        self._show.line(
            f"{synced['bytesSent']:,} bytes on the wire for a file of {DATA_SIZE:,}; "
            "both copies are equal"
        )
        self._times.append(("50 MB, edited: bytes on the wire", f"{synced['bytesSent']:,}"))
        self._keep_time("50 MB, edited: save → visible there", took)

    def _debug(self) -> None:
        self._title("Debug it there")
        model = self._world.project / "digits/model.py"
        lines = model.read_text().splitlines()
        line = next(number for number, text in enumerate(lines, 1) if BREAK_AT in text)
        began = time.monotonic()
        answer = self._editor.request(
            "sidecar/debug", {"target": str(self._world.project / "train.py")}
        )
        debugger = Debugger(answer["port"])
        frame = debugger.stop_at(model, line, answer["configuration"])
        took = time.monotonic() - began
        where = Path(frame["source"]["path"]).relative_to(self._world.project)
        self._show.line(f"stopped at {where}:{frame['line']} in {frame['name']}")
        for name in ("float(loss)", "images.shape"):
            self._show.quote(f"{name} = {debugger.value(name, frame)}")
        debugger.finish(model)
        self._keep_time("debug → stopped at the breakpoint", took)

    def _save_line(self, name: str, old: str, new: str) -> float:
        """Changes a line, saves, and returns the seconds until the remote has it."""
        path, remote = self._world.project / name, self._world.remote_project / name
        text = path.read_text()
        path.write_text(text.replace(old, new))
        expected = path.read_bytes()
        began = time.monotonic()
        self._editor.save(path)
        while remote.read_bytes() != expected:
            if time.monotonic() - began > PATIENCE:
                raise SidecarError(f"{name} did not arrive")
            time.sleep(0.0005)
        return time.monotonic() - began

    def _title(self, text: str) -> None:
        self._step += 1
        self._show.title(f"{self._step}  {text}")

    def _keep_time(self, label: str, took: float) -> None:
        self._times.append((label, seconds(took)))
        self._show.done(label, took)

    def _times_table(self) -> None:
        self._show.title("Times (this machine, loopback)")
        self._show.table(self._times)


def _keep(world: World, show: Show) -> int:
    show.title("The demo's world is up; point an editor or a shell at it")
    for name, value in world.variables.items():
        show.line(f"export {name}={value}")
    show.line(f"cd {world.project}")
    show.line("sidecar run train.py")
    show.line(f"(the other side is {world.remote_project})")
    show.line("Ctrl-C ends it and removes everything.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        show.line("gone")
    return 0
