"""The language server of one editor connection, inside the hub.

pygls parses standard LSP and keeps the documents; bytes, limits and our own methods are the
peer's (hub/rpc.py). So pygls is handed single messages, and writes into a queue that never blocks
the loop. Handlers of notifications are synchronous, because asynchronous ones may swap: a run that
follows a save must find the save queued.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from lsprotocol import types
from pygls import uris
from pygls.exceptions import JsonRpcException, PyglsError
from pygls.lsp.server import LanguageServer

import sidecar
from sidecar import api
from sidecar.config.project import LOCAL, PYPROJECT, SHARED
from sidecar.errors import SidecarError
from sidecar.hub.client import in_nobodys_name
from sidecar.hub.face import offer
from sidecar.hub.framing import FramingError
from sidecar.hub.rpc import Outgoing, Peer
from sidecar.hub.service import Service
from sidecar.lsp import decisions, editor_process, failed, lenses
from sidecar.lsp.client import LspClient
from sidecar.lsp.commands import register
from sidecar.lsp.diagnostics import Board, is_source

log = logging.getLogger(__name__)

CONFIGURATION = frozenset({SHARED, LOCAL, PYPROJECT})
"""A save of one of these has the project opened anew, if that makes a difference."""

EVERY_FILE = types.FileOperationRegistrationOptions(
    [types.FileOperationFilter(types.FileOperationPattern("**"), scheme="file")]
)


async def serve_lsp(
    service: Service,
    hello: api.Hello,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Until the editor exits, closes, dies, or sends something else than LSP."""
    connection = Connection(service, hello, reader, writer)
    text = ""
    try:
        await connection.peer.run()
    except FramingError as error:
        log.warning("an editor sent garbage: %s", error)
        text = (
            f"What came on stdin is no LSP: {error}. Let an editor start `sidecar serve`; "
            "for a shell there are `sidecar sync` and `sidecar run`."
        )
    except asyncio.CancelledError:
        text = (
            "The sidecar hub was told to end. Restart the language server; saved files are not "
            "lost, and jobs run on there."
        )
        raise
    finally:
        connection.close()
        # The mark that cli/serve.py knows: an orderly end, its exit status, a line for stderr.
        await connection.peer.close(b"\0" + bytes([connection.exit_status]) + text.encode())


class _Pygls(LanguageServer):
    """pygls without its pop-ups: what goes wrong in a handler is logged."""

    def report_server_error(
        self, error: Exception, source: type[PyglsError] | type[JsonRpcException]
    ) -> None:
        log.error("%s: %s", source.__name__, error)


class _Writer:
    """What pygls writes to."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing

    def write(self, data: bytes) -> None:
        self._outgoing.post(data)

    def close(self) -> None:
        """The peer closes."""


class Connection:
    """One editor: its peer, its documents, its projects."""

    def __init__(
        self,
        service: Service,
        hello: api.Hello,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.service = service
        self.exit_status = 1
        """0 once `shutdown` and `exit` came in that order."""
        self.peer = Peer(reader, writer, fallback=self._take)
        self.pygls = _Pygls("sidecar", sidecar.__version__)
        self.pygls.protocol.set_writer(_Writer(self.peer.outgoing))
        self.client = LspClient(
            self.peer,
            hello,
            Board(self.pygls.text_document_publish_diagnostics, self._line_end),
            self._shown,
        )
        self._shut_down = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._seen: set[str] = set()
        """Project roots that this editor has opened something of."""
        offer(self.peer, self.client, service)
        register(self.pygls, self.client, service)
        self._register()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self.client.close()
        self.service.leave(self.client)

    def _take(self, message: dict[str, Any]) -> bool:
        """A message that is none of ours goes to pygls, but for `exit`, at which pygls would end
        the process, and for saves, of which it keeps nothing and takes 0.2 ms to say so."""
        method = message.get("method")
        if method == "exit":
            self.exit_status = 0 if self._shut_down else 1
            if self._shut_down:
                self.service.quit(self.client)
            self.peer.stop()
            return True
        if method == "shutdown":
            self._shut_down = True
        if method == types.TEXT_DOCUMENT_DID_SAVE and (path := _saved_path(message)):
            self._save(path)
            return True
        try:
            parsed = self.pygls.protocol.structure_message(message)
            self.pygls.protocol.handle_message(parsed)
        except JsonRpcException as error:
            if "id" not in message:
                log.warning("%s from %s is malformed: %s", method, self.client.name, error)
                return True
            response = error.to_response_error()
            self.peer.refuse(message["id"], response.code, f"{method}: {response.message}")
        return True

    def _spawn(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- standard LSP ------------------------------------------------------------------------

    def _register(self) -> None:
        feature = self.pygls.feature
        table: list[tuple[str, Any, Callable[[Any], Any]]] = [
            (types.INITIALIZE, None, self._initialize),
            (types.INITIALIZED, None, self._initialized),
            (types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS, None, self._folders_changed),
            (types.TEXT_DOCUMENT_DID_OPEN, None, self._opened),
            (types.TEXT_DOCUMENT_DID_CHANGE, None, self._changed),
            (types.TEXT_DOCUMENT_DID_SAVE, types.SaveOptions(include_text=False), self._saved),
            (types.TEXT_DOCUMENT_DID_CLOSE, None, self._closed),
            (types.WORKSPACE_DID_CREATE_FILES, EVERY_FILE, self._files),
            (types.WORKSPACE_DID_DELETE_FILES, EVERY_FILE, self._files),
            (types.WORKSPACE_DID_RENAME_FILES, EVERY_FILE, self._renamed),
            (types.WINDOW_WORK_DONE_PROGRESS_CANCEL, None, self._progress_cancelled),
            (types.TEXT_DOCUMENT_CODE_LENS, types.CodeLensOptions(), self._lenses),
            (
                types.TEXT_DOCUMENT_CODE_ACTION,
                types.CodeActionOptions(code_action_kinds=[lenses.KIND, decisions.KIND]),
                self._actions,
            ),
        ]
        for method, options, handler in table:
            feature(method, options)(_function(handler))

    def _initialize(self, params: types.InitializeParams) -> None:
        self.client.introduce(params)
        log.info("%s opens %s", self.client.name, ", ".join(self.client.folders) or "no folder")
        if params.process_id:
            self._spawn(asyncio.create_task(self._watch(params.process_id), name="editor"))

    async def _watch(self, pid: int) -> None:
        await editor_process.gone(pid)
        log.info("%s (pid %d) is gone", self.client.name, pid)
        self.peer.stop()

    def _initialized(self, params: types.InitializedParams) -> None:
        for folder in self.client.folders:
            self._see(folder)

    def _folders_changed(self, params: types.DidChangeWorkspaceFoldersParams) -> None:
        for folder in params.event.added:
            if path := uris.to_fs_path(folder.uri):
                self.client.folders.append(path)
                self._see(path)
        gone = {uris.to_fs_path(folder.uri) for folder in params.event.removed}
        self.client.folders = [path for path in self.client.folders if path not in gone]

    def _opened(self, params: types.DidOpenTextDocumentParams) -> None:
        if path := _local(params.text_document.uri):
            self._see(path)

    def _changed(self, params: types.DidChangeTextDocumentParams) -> None:
        if path := _local(params.text_document.uri):
            self.client.unsaved.add(path)

    def _saved(self, params: types.DidSaveTextDocumentParams) -> None:
        if path := _local(params.text_document.uri):
            self._save(path)

    def _save(self, path: str) -> None:
        self.client.unsaved.discard(path)
        root = self.service.root_of(path)
        if os.path.basename(path) in CONFIGURATION:
            self._seen.discard(root)
        self._see(path, root)
        self.service.saved_in(root, path)

    def _closed(self, params: types.DidCloseTextDocumentParams) -> None:
        self.client.unsaved.discard(_local(params.text_document.uri))

    def _files(self, params: types.CreateFilesParams | types.DeleteFilesParams) -> None:
        paths = [_local(file.uri) for file in params.files]
        self.service.saved(self.client, [path for path in paths if path])

    def _renamed(self, params: types.RenameFilesParams) -> None:
        paths = [_local(uri) for file in params.files for uri in (file.old_uri, file.new_uri)]
        self.service.saved(self.client, [path for path in paths if path])

    def _progress_cancelled(self, params: types.WorkDoneProgressCancelParams) -> None:
        shown = self.client.shown_by(str(params.token))
        if shown is not None:
            self.service.cancel_uploads(*shown)

    def _lenses(self, params: types.CodeLensParams) -> list[types.CodeLens]:
        uri = params.text_document.uri
        path = _local(uri)
        host = self.service.host_of(path) if path else ""
        if not host:
            return []
        return lenses.lenses(self._document(path, uri), host, self.service.arguments_of(path))

    def _actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        path = _local(params.text_document.uri)
        host = self.service.host_of(path) if path else ""
        if not host:
            return []
        only = params.context.only
        to_decide, with_host = self.client.board.to_decide(params.text_document.uri)
        found = (
            decisions.actions(to_decide, with_host, params.context.diagnostics, only)
            if to_decide
            else []
        )
        job, where = self.client.board.failed_in(params.text_document.uri)
        if job:
            found += failed.actions(job, where, path, only)
        document = self._document(path, params.text_document.uri)
        args = self.service.arguments_of(path)
        return found + lenses.actions(document, host, only, params.range, args)

    # --- helpers of the above ----------------------------------------------------------------

    def _see(self, path: str, root: str | None = None) -> None:
        """Opens the project that owns `path`, if there is one, without asking anybody anything.

        Args:
            root: that project's, where it is known; "" is none.
        """
        if root is None:
            root = self.service.root_of(path)
        if root and root not in self._seen:
            self._seen.add(root)
            self._spawn(in_nobodys_name(self._open(path), name=f"open {root}"))

    async def _open(self, path: str) -> None:
        try:
            session = await self.service.open_unasked(self.client, path)
            self._spawn(asyncio.create_task(self.client.refresh_lenses(), name="lenses"))
            await self.service.connect_unasked(session)
            await self.service.greet(self.client, session)
        except SidecarError as error:
            # A state that `status` shows; nobody did anything that a pop-up would answer.
            self.client.show(str(error), "log")

    def _document(self, path: str, uri: str) -> lenses.Document:
        try:
            return lenses.Document(path, self.pygls.workspace.get_text_document(uri).source)
        except OSError:  # closed, and gone
            return lenses.Document(path, "")

    def _shown(self, path: str) -> str | None:
        """What the editor shows of a file that is open in it."""
        for uri, document in self.pygls.workspace.text_documents.items():
            if _local(uri) == path:
                return str(document.source)
        return None

    def _text(self, uri: str) -> Sequence[str]:
        return self.pygls.workspace.get_text_document(uri).lines

    def _line_end(self, path: str, line: int) -> int:
        uri = uris.from_fs_path(path) if is_source(path) else None
        try:
            text = self._text(uri)[line].rstrip("\r\n") if uri else ""
        except (OSError, IndexError, UnicodeDecodeError):
            return 0
        return int(self.pygls.workspace.position_codec.client_num_units(text))


def _function(handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """pygls sets attributes on what it registers, which bound methods refuse."""
    return lambda params: handler(params)


def _saved_path(message: dict[str, Any]) -> str:
    """The file that a `textDocument/didSave` names; "" where it is no file of this machine, or the
    message is malformed, which pygls says better."""
    try:
        path = _local(message["params"]["textDocument"]["uri"])
    except (KeyError, TypeError, AttributeError, ValueError):
        return ""
    return "" if "\0" in path else path


def _local(uri: str) -> str:
    """The path of a file's URI; "" for what is no file here (untitled buffers, other schemes)."""
    path = uris.to_fs_path(uri) if uri.startswith("file:") else None
    return os.path.normpath(path) if path else ""
