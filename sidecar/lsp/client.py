"""An editor as the service sees it: what it declared decides what it is told and how.

A client that declares `sidecar` (in `initializationOptions`, or in `capabilities.experimental`; a
true value, or an object) gets our own notifications and may be asked for secrets unless the object
says `askSecret: false`. Any other one gets a job's output as log messages, and its end as a
message, by plain LSP.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from lsprotocol import types
from pygls import uris

from sidecar import api
from sidecar.hub.client import Client
from sidecar.hub.news import Late, within
from sidecar.hub.rpc import Peer, RpcError
from sidecar.lsp.diagnostics import Board
from sidecar.lsp.progress import Bar
from sidecar.questions import Choice

QUESTION_SECONDS = 300.0
"""After which an editor that answers nothing counts as nobody: a sync waits for the answer."""


class ShowDocumentParams(api.Message, frozen=True, kw_only=True):
    uri: str
    take_focus: bool


class ShowDocumentResult(api.Message, frozen=True, kw_only=True):
    success: bool = False


class LspClient(Client):
    """One editor connection."""

    def __init__(
        self,
        peer: Peer,
        hello: api.Hello,
        board: Board,
        text_of: Callable[[str], str | None] = lambda path: None,
    ) -> None:
        """`text_of`: what it shows of an open file, by absolute path."""
        super().__init__(peer, hello)
        self._text_of = text_of
        self.knows_sidecar = self.can_type_secrets = False
        self.is_editor = True
        self.board = board
        self.folders: list[str] = []
        self._unsaved: set[str] = set()
        self._bars: dict[tuple[str, str], Bar] = {}
        self._states: dict[tuple[str, str], str] = {}
        self._used: dict[str, str] = {}
        """By project, the host that its lenses name."""
        self._refreshing: set[asyncio.Task[None]] = set()
        self._shows_progress = False
        self._refreshes_lenses = self._shows_documents = False
        self._lines: dict[tuple[str, str], str] = {}
        """Unfinished lines of output, for clients that get it as log messages."""

    @property
    def workspace(self) -> str:
        return self.folders[0] if self.folders else self.cwd

    @property
    def unsaved(self) -> set[str]:
        return self._unsaved

    def text_of(self, path: str) -> str | None:
        return self._text_of(path)

    def introduce(self, params: types.InitializeParams) -> None:
        """Takes what the editor says of itself."""
        info = params.client_info
        if info is not None:
            self.name = f"{info.name} {info.version or ''}".strip()
        self.folders = _folders(params)
        window = params.capabilities.window
        self._shows_progress = bool(window and window.work_done_progress)
        self._shows_documents = bool(
            window and window.show_document and window.show_document.support
        )
        workspace = params.capabilities.workspace
        code_lens = workspace.code_lens if workspace else None
        self._refreshes_lenses = bool(code_lens and code_lens.refresh_support)
        declared = _declared(params.initialization_options) or _declared(
            params.capabilities.experimental
        )
        self.knows_sidecar = bool(declared)
        asks = declared.get("askSecret", True) if isinstance(declared, Mapping) else declared
        self.can_type_secrets = self.knows_sidecar and bool(asks)

    def close(self) -> None:
        for task in self._refreshing:
            task.cancel()
        for bar in self._bars.values():
            bar.close()

    # --- telling -----------------------------------------------------------------------------

    async def output(self, part: api.Output) -> None:
        if self.knows_sidecar:
            await super().output(part)
            return
        data = base64.b64decode(part.data) if part.encoding == "base64" else part.data.encode()
        key = part.job, part.stream
        whole, newline, rest = (
            self._lines.pop(key, "") + data.decode("utf-8", "replace")
        ).rpartition("\n")
        if rest:
            self._lines[key] = rest
        if newline:
            self.show(whole, "log")

    async def exited(self, end: api.Exited) -> None:
        self.board.traceback(end)
        if self.knows_sidecar:
            await super().exited(end)
            return
        for key in [key for key in self._lines if key[0] == end.job]:
            self.show(self._lines.pop(key), "log")
        how = f"was ended by {end.signal}" if end.signal else f"ended with status {end.status}"
        text = f"The job {end.job} on {end.host} {how}"
        if end.why or end.error:
            text += f": {end.error or end.why}"
        if end.advice:
            text += f"\n{end.advice}"
        self.show(text, "info" if end.status == 0 else "error")

    def health(self, health: api.Health) -> None:
        super().health(health)
        if health.in_use and self._used.get(health.project, health.host) != health.host:
            task = asyncio.get_running_loop().create_task(self.refresh_lenses(), name="lenses")
            self._refreshing.add(task)
            task.add_done_callback(self._refreshing.discard)
        if health.in_use:
            self._used[health.project] = health.host
        key = health.project, health.host
        before, self._states[key] = self._states.get(key, "idle"), health.state
        stopped = before != "question" == health.state and health.files > 0
        if stopped and not self.knows_sidecar:
            # It shows no state of ours; a message asks nothing and covers nothing.
            self.show(f"{health.host}: {health.text}; {health.fix}", "warning")
        if self._shows_progress:
            if key not in self._bars:
                self._bars[key] = Bar(self.peer)
            self._bars[key].take(health)

    def shown_by(self, token: str) -> tuple[str, str] | None:
        """The project, and the host, whose progress has that token."""
        return next((key for key, bar in self._bars.items() if bar.token == token), None)

    def notes(self, root: str, host: str, notes: list[api.PathNote]) -> None:
        self.board.notes(root, host, notes)

    async def open_document(self, path: str) -> bool:
        """Has the editor show a file; False where it cannot."""
        if not self._shows_documents:
            return False
        params = ShowDocumentParams(uri=uris.from_fs_path(path) or "", take_focus=True)
        try:
            return (
                await self.peer.request("window/showDocument", params, ShowDocumentResult)
            ).success
        except RpcError:
            return False

    async def refresh_lenses(self) -> None:
        """Lenses that were asked for before the project was open were none."""
        if self._refreshes_lenses:
            with contextlib.suppress(RpcError):  # it has them at the next change of the file
                await self.peer.request_or_none(
                    "workspace/codeLens/refresh", api.Empty(), api.Empty
                )

    def run_begins(self) -> None:
        self.board.traceback(None)

    async def choose(self, question: Choice) -> str | None:
        try:
            return await within(QUESTION_SECONDS, super().choose(question))
        except Late:
            return None


def _declared(options: Any) -> Any:
    """The value of `sidecar` in what pygls made of a JSON object, as plain data; None without."""
    if isinstance(options, Mapping):
        return options.get("sidecar")
    value: Any = getattr(options, "sidecar", None)
    return value._asdict() if hasattr(value, "_asdict") else value


def _folders(params: types.InitializeParams) -> list[str]:
    """The workspace's folders as local paths, in the editor's spelling."""
    named = [folder.uri for folder in params.workspace_folders or []]
    if not named and params.root_uri:
        named = [params.root_uri]
    found = [uris.to_fs_path(uri) for uri in named]
    if not found and params.root_path:
        found = [params.root_path]
    return [os.path.normpath(path) for path in found if path]
