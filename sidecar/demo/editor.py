"""A scripted editor: starts `sidecar serve` and speaks LSP with it, as any editor would."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sidecar.errors import SidecarError
from sidecar.hub import framing

Json = dict[str, Any]

PATIENCE = 60.0
"""Seconds that the tour waits for any one answer before it gives up."""


class Editor:
    """One language client. Notifications are collected, and can be waited for."""

    def __init__(self, project: Path, environ: Mapping[str, str]) -> None:
        self._project = project
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sidecar", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environ),
            cwd=project,
        )
        self._ids = itertools.count(1)
        self._changed = threading.Condition()
        self._answers: dict[int, Json] = {}
        self._seen: list[Json] = []
        self._gone = False
        self._write_lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="editor", daemon=True)
        self._reader.start()

    def open(self) -> None:
        """initialize and initialized, after which the sidecar connects by itself."""
        self.request(
            "initialize",
            {
                "processId": None,
                "rootUri": self._project.as_uri(),
                "workspaceFolders": [{"uri": self._project.as_uri(), "name": self._project.name}],
                "capabilities": {"window": {"workDoneProgress": True}},
                "initializationOptions": {"sidecar": True},
                "clientInfo": {"name": "sidecar demo"},
            },
        )
        self.notify("initialized", {})

    def save(self, path: Path) -> None:
        """Tells of a file that has just been written."""
        self.notify("textDocument/didSave", {"textDocument": {"uri": path.as_uri()}})

    def request(self, method: str, params: Json) -> Any:
        """The result of a request.

        Raises:
            SidecarError: the sidecar's own words, or that it is gone.
        """
        number = next(self._ids)
        self._send({"id": number, "method": method, "params": params})
        answer = self._wait(lambda: self._answers.get(number), f"an answer to {method}")
        if "error" in answer:
            problem = answer["error"].get("data") or {}
            what = problem.get("what") or answer["error"]["message"]
            raise SidecarError(what, problem.get("why", ""), problem.get("fix", ""))
        return answer.get("result")

    def notify(self, method: str, params: Json) -> None:
        self._send({"method": method, "params": params})

    def wait_for(self, method: str, matches: Callable[[Json], bool] = lambda _: True) -> Json:
        """The first notification of that kind, seen already or to come; it is taken off."""

        def find() -> Json | None:
            for message in self._seen:
                if message["method"] == method and matches(message["params"]):
                    self._seen.remove(message)
                    params: Json = message["params"]
                    return params
            return None

        return self._wait(find, method)

    def close(self) -> int:
        """Leaves as an editor does; the exit status of `sidecar serve`."""
        if not self._gone:
            self.request("shutdown", {})
            self.notify("exit", {})
        assert self._process.stdin is not None
        self._process.stdin.close()
        status = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status

    def _wait(self, ready: Callable[[], Json | None], what: str) -> Json:
        found: Json | None = None

        def have() -> bool:
            nonlocal found
            found = ready()
            return found is not None or self._gone

        with self._changed:
            self._changed.wait_for(have, PATIENCE)
        if found is None:
            why = "it has ended" if self._gone else f"nothing came for {PATIENCE:.0f} s"
            raise SidecarError(f"The sidecar did not send {what}", why, "see `sidecar status`")
        return found

    def _send(self, message: Json) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        with self._write_lock:
            self._process.stdin.write(framing.encode(body))
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        decoder = framing.Decoder()
        while data := self._process.stdout.read1(1 << 16):  # type: ignore[attr-defined]
            for body in decoder.feed(data):
                self._take(json.loads(body))
        with self._changed:
            self._gone = True
            self._changed.notify_all()

    def _take(self, message: Json) -> None:
        if "method" in message and "id" in message:
            # What the sidecar asks is answered as by an editor that knows nothing of it.
            self._send({"id": message["id"], "result": None})
            return
        with self._changed:
            if "method" in message:
                self._seen.append(message)
            else:
                self._answers[message["id"]] = message
            self._changed.notify_all()
