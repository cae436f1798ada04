"""An editor: pygls's client, which starts the real `sidecar serve` and speaks to it over stdio."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient
from pygls.uris import from_fs_path

from tests.hub.laptop import COMMAND, Laptop

PATIENCE = 30.0

TOLD = (
    "sidecar/output",
    "sidecar/exited",
    "sidecar/synced",
    "sidecar/didChangeStatus",
    "sidecar/debugEnded",
    types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS,
    types.WINDOW_SHOW_MESSAGE,
    types.WINDOW_LOG_MESSAGE,
    types.PROGRESS,
)


class Client(LanguageClient):
    """pygls's, which keeps what was said on stderr."""

    async def server_exit(self, server: asyncio.subprocess.Process) -> None:
        assert server.stderr is not None
        self.stderr = (await server.stderr.read()).decode()


class Editor:
    """One editor. `told` holds every notification, by method, in order."""

    def __init__(self, laptop: Laptop) -> None:
        self.laptop = laptop
        self.client = Client("test-editor", "1")
        self.told: dict[str, list[Any]] = defaultdict(list)
        self.answers: list[str] = []
        """To questions, in order; without one a question is dismissed."""
        self.asked: list[str] = []
        self._news = asyncio.Event()
        for method in TOLD:
            self.client.feature(method)(self._taker(method))
        self.client.feature(types.WINDOW_WORK_DONE_PROGRESS_CREATE)(lambda params: None)
        self.client.feature(types.WORKSPACE_CODE_LENS_REFRESH)(
            self._taker(types.WORKSPACE_CODE_LENS_REFRESH)
        )
        self.client.feature(types.WINDOW_SHOW_MESSAGE_REQUEST)(lambda params: self._choose(params))

    def _taker(self, method: str) -> Callable[[Any], None]:
        def take(params: Any) -> None:
            self.told[method].append(params)
            self._news.set()

        return take

    def _choose(self, params: types.ShowMessageRequestParams) -> types.MessageActionItem | None:
        self.asked.append(params.message)
        titles = [action.title for action in params.actions or []]
        if not self.answers:
            return None
        answer = self.answers.pop(0)
        assert answer in titles
        return types.MessageActionItem(answer)

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self.client._server is not None
        return self.client._server

    async def start(
        self,
        *,
        knows_sidecar: bool = True,
        process_id: int | None = None,
        folder: Path | None = None,
    ) -> types.InitializeResult:
        """Launches `sidecar serve`, and shakes hands."""
        await self.client.start_io(*COMMAND, "serve", cwd=self.laptop.home)
        folder = folder or self.laptop.project
        result = await self.within(
            self.client.initialize_async(
                types.InitializeParams(
                    capabilities=types.ClientCapabilities(
                        window=types.WindowClientCapabilities(
                            work_done_progress=True,
                            show_document=types.ShowDocumentClientCapabilities(support=True),
                        ),
                        workspace=types.WorkspaceClientCapabilities(
                            code_lens=types.CodeLensWorkspaceClientCapabilities(
                                refresh_support=True
                            )
                        ),
                    ),
                    process_id=process_id,
                    workspace_folders=[
                        types.WorkspaceFolder(from_fs_path(str(folder)) or "", folder.name)
                    ],
                    initialization_options={"sidecar": True} if knows_sidecar else None,
                )
            )
        )
        self.client.initialized(types.InitializedParams())
        return result

    async def within(self, work: Any) -> Any:
        return await asyncio.wait_for(work, PATIENCE)

    async def wait(self, method: str, wanted: Callable[[Any], bool] = lambda params: True) -> Any:
        """The first notification of that kind that is wanted, past or to come."""

        async def look() -> Any:
            while True:
                self._news.clear()
                for params in self.told[method]:
                    if wanted(params):
                        return params
                await self._news.wait()

        try:
            return await self.within(look())
        except asyncio.TimeoutError:
            raise AssertionError(
                f"no such {method}; told: {dict(self.told)}; log: {self.laptop.log}"
            ) from None

    async def ready(self) -> Any:
        """Waits until the project is in step."""
        return await self.wait("sidecar/didChangeStatus", lambda one: one.text == "in step")

    async def request(self, method: str, **params: Any) -> Any:
        """One of our own requests; the answer as pygls makes it of JSON."""
        return await self.within(self.client.protocol.send_request_async(method, params))

    async def command(self, name: str, *arguments: Any) -> Any:
        return await self.within(
            self.client.workspace_execute_command_async(
                types.ExecuteCommandParams(command=name, arguments=list(arguments))
            )
        )

    def uri(self, path: Path) -> str:
        return from_fs_path(str(path)) or ""

    def open(self, path: Path) -> None:
        document = types.TextDocumentItem(self.uri(path), "python", 1, path.read_text())
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(document))

    def save(self, path: Path, text: str) -> None:
        """Writes the file as an editor does, and says so."""
        path.write_text(text)
        document = types.TextDocumentIdentifier(self.uri(path))
        self.client.text_document_did_save(types.DidSaveTextDocumentParams(document))

    async def exited(self) -> int:
        return int(await self.within(self.process.wait()))

    async def quit(self) -> int:
        """As the protocol has it."""
        await self.within(self.client.shutdown_async(None))
        self.client.exit(None)
        return await self.exited()

    async def end(self) -> None:
        """After a test, whatever it did."""
        if self.client._server is not None:
            if self.process.returncode is None:
                self.process.kill()
            await self.client.stop()
            assert self.process.stdin is not None
            self.process.stdin.close()
            transport = self.process._transport  # type: ignore[attr-defined]
            transport.close()
