"""The sidecar as a peer: a real editor's face, the hub, the agent."""

from __future__ import annotations

import contextlib
import time

from bench.remote import Remote
from bench.results import NOT_TOLD, OURS
from bench.sync.peers import Copy, Peer
from sidecar.demo.editor import Editor
from sidecar.errors import SidecarError


class Sidecar(Peer):
    """An editor that stays open on each copy. A whole tree is synced by `sidecar/sync`, which is
    what `sidecar sync` asks for; a file by the editor's word that it was saved."""

    name = OURS

    def __init__(self, box: Remote) -> None:
        self._box = box
        self._editors: dict[Copy, Editor] = {}

    def meet(self, copy: Copy) -> None:
        """Both sides are compared now where there are two; else the first round is what brings
        them together."""
        self.open(copy)
        if copy.there.exists():
            self.sync(copy)

    def open(self, copy: Copy) -> Editor:
        """An editor that has said hello and opened nothing yet."""
        self._box.project(copy.here.name)
        editor = self._editors[copy] = Editor(copy.here, self._box.environ)
        uri = copy.here.as_uri()
        editor.request(
            "initialize",
            {
                "processId": None,
                "rootUri": uri,
                "workspaceFolders": [{"uri": uri, "name": copy.here.name}],
                "capabilities": {},
                "initializationOptions": {"sidecar": True},
                "clientInfo": {"name": "bench"},
            },
        )
        return editor

    def sync(self, copy: Copy) -> None:
        answer = self._editors[copy].request("sidecar/sync", {"project": str(copy.here)})
        odd = [note for note in answer["notes"] if note["kind"] != "skipped"]
        if odd:
            raise RuntimeError(f"the sidecar says: {odd[:3]}")

    def sync_again(self, copy: Copy) -> None:
        """After a cut: a request that came before the hub had heard of it fails with it."""
        deadline = time.monotonic() + 60
        while True:
            try:
                return self.sync(copy)
            except SidecarError as error:
                if "connection" not in error.what or time.monotonic() > deadline:
                    raise

    def begin(self, copy: Copy, path: str = "") -> None:
        if path:
            self._editors[copy].save(copy.here / path)

    def finish(self, copy: Copy, path: str = "") -> None:
        if path:
            editor = self._editors[copy]
            editor.wait_for("sidecar/synced", lambda synced: path in synced["paths"])
        else:
            self.sync_again(copy)

    def leave(self, copy: Copy) -> None:
        """Closes that editor. The hub stays as long as another one is open."""
        editor = self._editors.pop(copy, None)
        if editor is not None:
            editor.close()

    def hub(self) -> int:
        """Its process id."""
        editor = next(iter(self._editors.values()))
        return int(editor.request("sidecar/status", {})["hubPid"])

    def close(self) -> None:
        for copy in list(self._editors):
            with contextlib.suppress(SidecarError, OSError):  # where all were told to end at once
                self.leave(copy)


class NotTold(Peer):
    """The same project, saved by somebody who tells nobody."""

    name = NOT_TOLD

    def begin(self, copy: Copy, path: str = "") -> None:
        pass

    def finish(self, copy: Copy, path: str = "") -> None:
        pass
