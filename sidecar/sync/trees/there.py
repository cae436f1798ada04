"""The remote side as the engine sees it: base, but for the paths that the agent told differ.

The agent keeps the managed set (each path with the identity that it last reported) and looks at
all of it when asked. Only what is not as base says is held here, so that it costs nothing while
nobody else touches the folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from sidecar.core import frames, identity, messages, tree
from sidecar.core import paths as names
from sidecar.core.identity import FILE, SYMLINK, Entry, Identity
from sidecar.core.tree import UNREAD, Node
from sidecar.errors import SyncError
from sidecar.remote.connection import AgentConnection
from sidecar.sync.trees.base import Agreed, Base

DEEPEST = 100
"""Levels of a folder that are looked at."""

LOOKUP = 1000
"""Paths in one question; the question has about 20 KB packed, the answer 60."""


class Found(NamedTuple):
    """What was read at a path that is not as base says; None: nothing is there. Other news of the
    path may come at any time, and a plan goes by what it saw."""

    identity: Identity | None
    node: Node | None


class Watched(NamedTuple):
    """What is in the folders that came under watch; `missing`, `truncated`: messages.Watching."""

    entries: list[Entry]
    missing: str
    truncated: bool


class There:
    """The project's folder on the host, over one connection."""

    def __init__(self, agent: AgentConnection, number: int, base: Base) -> None:
        self.agent, self.number, self._base = agent, number, base
        self.differing: dict[str, Identity | None] = {}
        """Paths that are not as base says, with what is there (None: nothing)."""
        self._nodes: dict[str, tuple[Identity, Node]] = {}
        self.on_its_way: Callable[[str], object] = lambda path: False
        """Whether a change of that path is being sent, or not answered yet."""
        self.too_large: set[str] = set()
        """Paths at which something could not make way, since the trash there cannot hold it."""
        self._owners: dict[str, tuple[Identity | None, str]] = {}
        self.wants: Callable[[str, bool], bool] = lambda path, is_folder: False
        """Whether a path that is not agreed on matters."""
        self._untold: dict[str, bool] = {}  # path → still managed
        self._crossed: set[str] = set()  # forgotten while a change of them was on its way
        self._remembered: dict[str, int] = {}  # folders of another set that the agent holds
        self.closed = False

    def close(self) -> None:
        """The connection is gone. What it told enters base no more."""
        self.closed = True
        self.differing.clear()
        self._untold.clear()
        self._crossed.clear()

    # --- asking

    async def look_ahead(self) -> None:
        """A run is about to be asked for: its sweep there goes on beside the scan here. On the
        run's own lane, so that it is never taken for one that was made for the next run."""
        await self.agent.send(messages.LookAhead(self.number), frames.SAVES)

    async def open(self, path: str) -> messages.Opened:
        opened = await self.agent.request(lambda id: messages.Open(id, self.number, path))
        assert isinstance(opened, messages.Opened)
        return opened

    async def claim(self, marker: str, owner: str) -> None:
        """On SAVES, so that `manage` may follow without waiting for the answer."""
        await self.agent.request(
            lambda id: messages.Claim(id, self.number, marker, owner), frames.SAVES
        )

    async def lookup(self, paths: Iterable[str]) -> dict[str, Identity]:
        """What is there, for those of the paths at which there is anything."""
        found: dict[str, Identity] = {}
        for some in _portions(paths):

            def ask(id: int, some: list[str] = some) -> messages.Message:
                return messages.Lookup(id, self.number, some)

            async for part in self.agent.parts(ask):
                assert isinstance(part, messages.Listed)
                entries = identity.unpack(part.body)
                found.update((path, there) for path, there in entries if there is not None)
        return found

    async def listed(self, folder: str, limit: int = 1000) -> dict[str, Identity]:
        """What is directly in a folder there ("" is the root), at most so many entries."""
        found: dict[str, Identity] = {}

        def ask(id: int) -> messages.Message:
            return messages.List_(id, self.number, folder, 1, limit, [])

        async for part in self.agent.parts(ask):
            assert isinstance(part, messages.Listed)
            entries = identity.unpack(part.body)
            found.update((path, there) for path, there in entries if there is not None)
        return found

    async def digests(self, paths: Iterable[str]) -> dict[str, str]:
        """The content digests of these files and links; "" where there is none to be had."""
        digests: dict[str, str] = {}
        for some in _portions(paths):

            def ask(id: int, some: list[str] = some) -> messages.Message:
                return messages.Digests(id, self.number, some)

            answer = await self.agent.request(ask)
            assert isinstance(answer, messages.Digested)
            digests.update(zip(some, answer.digests, strict=True))
        return digests

    async def below(self, path: str, limit: int) -> dict[str, Identity]:
        """All that is in a folder there, at any depth.

        Raises:
            SyncError: it is more than `limit`.
        """

        def ask(id: int) -> messages.Message:
            return messages.List_(id, self.number, path, DEEPEST, limit, [".git"])

        found: dict[str, Identity] = {}
        async for part in self.agent.parts(ask):
            assert isinstance(part, messages.Listed)
            entries = identity.unpack(part.body)
            found.update((name, there) for name, there in entries if there is not None)
            if part.truncated:
                raise SyncError(
                    f"{path} holds more than {limit} things there",
                    "nothing of it was taken",
                    "take its folders one by one",
                )
        for name in found:
            names.check(name)
        return found

    async def discard(self, path: str, what: Identity) -> None:
        """A person said that this may make way without a copy in the trash."""
        await self.agent.request(lambda id: messages.Discard(id, self.number, path, what))

    async def owners(self, paths: Iterable[str]) -> dict[str, str]:
        """Whose files these are, by user name; asked again only of files that changed since."""
        asked = {path: self.differing.get(path) for path in paths}
        unknown = [path for path, at in asked.items() if self._owners.get(path, ("",))[0] != at]
        for some in _portions(unknown):

            def ask(id: int, some: list[str] = some) -> messages.Message:
                return messages.Describe(id, self.number, some)

            answer = await self.agent.request(ask)
            assert isinstance(answer, messages.Described)
            for path, owner in zip(some, answer.owners, strict=True):
                self._owners[path] = asked[path], owner
        return {path: self._owners[path][1] for path in asked}

    async def nodes(
        self, paths: Iterable[str], unneeded: Callable[[str], bool] = lambda path: False
    ) -> dict[str, Found]:
        """What those of the paths are that differ from base, their content read there where it is
        not known. A content that we once sent is agreed on again, not somebody's edit.

        Args:
            unneeded: paths of which it is enough to know that they differ; their content is
                UNREAD, unless we once sent some that it may be.
        """
        known = {path: self.differing[path] for path in paths if path in self.differing}
        unread = []
        for path, there in known.items():
            if there is None or there.kind not in (FILE, SYMLINK):
                continue
            seen, node = self._nodes.get(path, (None, None))
            if seen == there and node is not None and node.digest != UNREAD:
                continue
            if unneeded(path) and not self._base.intended(path):
                self._nodes[path] = (there, Node(there.kind, there.executable, UNREAD))
            else:
                unread.append(path)
        for path, digest in (await self.digests(unread)).items():
            there = known[path]
            assert there is not None
            self._nodes[path] = (there, Node(there.kind, there.executable, digest))
        found: dict[str, Found] = {}
        for path, there in known.items():
            if self.differing.get(path, path) != there:
                continue  # news came meanwhile
            node = self._node(path, there)
            ours = node is not None and tree.intent(node) in self._base.intended(path)
            if ours and node is not None and there is not None:
                self.agree(path, Agreed(node, None, there))
            else:
                found[path] = Found(there, node)
        return found

    def replaced(self, found: Mapping[str, Found]) -> dict[str, Node | None]:
        """What the remote has in the place of base's nodes. What is not among `found` is like no
        known content, so that nothing is done about it before it is read."""
        nodes = {
            path: Node(there.kind, there.executable, UNREAD)
            if there is not None and there.kind in (FILE, SYMLINK)
            else self._node(path, there)
            for path, there in self.differing.items()
            if path not in found
        }
        nodes.update((path, one.node) for path, one in found.items())
        return nodes

    def settled(self, path: str, found: Found) -> None:
        """Something is done about what was found there."""
        if self.differing.get(path, path) == found.identity:
            self.agrees(path)

    def agrees(self, path: str) -> None:
        """What was told of the path before counts no more."""
        self.differing.pop(path, None)
        self._owners.pop(path, None)
        self._nodes.pop(path, None)

    def _node(self, path: str, there: Identity | None) -> Node | None:
        if there is None:
            return None
        if there.kind in (FILE, SYMLINK):
            return self._nodes[path][1]
        return Node(there.kind, False, "")

    # --- noticing

    async def watch(self, folders: list[str]) -> Watched:
        """Has the agent tell of what changes at managed paths, and of all that does in these
        folders. Returns what is in them.

        Raises:
            RemoteError: it cannot.
        """
        entries: list[Entry] = []
        missing, truncated = "", False
        async for part in self.agent.parts(lambda id: messages.Watch(id, self.number, folders)):
            assert isinstance(part, messages.Watching)
            entries += identity.unpack(part.body)
            missing, truncated = part.missing, truncated or part.truncated
        return Watched(entries, missing, truncated)

    def noticed(self, entries: Iterable[Entry]) -> list[str]:
        """Takes what was seen there besides sweeps; returns the paths of which that is news."""
        news = []
        for path, there in entries:
            before = self.differing.get(path, path)
            self.differs(path, there)
            if self.differing.get(path, path) != before:
                news.append(path)
        return news

    # --- the managed set

    async def resume(self) -> bool:
        """Whether the agent holds what base does, from its ledger; then `differing` is what is
        not so there, and this one exchange was all. Else `manage` must follow."""
        self.differing.clear()
        self._remembered = {}
        digest, told = self._base.remote_digest(), ""

        def ask(id: int) -> messages.Message:
            return messages.Resume(id, self.number, self._base.marker, digest)

        async for part in self.agent.parts(ask):
            if isinstance(part, messages.Swept):
                self._take_differences(part)
                told = part.digest
            else:
                assert isinstance(part, messages.Remembered)
                self._remembered.update(identity.unpack_folders(part.body))
        return told == digest

    async def manage(self) -> None:
        """Tells the agent what base holds, or of that the folders in which what it remembers is
        something else; afterwards `differing` is what is not so there."""
        self.differing.clear()
        if self._remembered:
            remembered, self._remembered = self._remembered, {}
            entries, folders = await asyncio.to_thread(self._base.parting_from, remembered)
            if 2 * len(entries) < len(self._base.entries):
                for some in _portions(folders):
                    await self.agent.send(messages.ForgetFolders(self.number, some), frames.SAVES)
                told = await self._manage(entries, anew=False)
                if told == self._base.remote_digest():
                    return
                self.differing.clear()
        await self._manage(self._base.remote_entries(), anew=True)

    async def _manage(self, entries: Iterable[Entry], *, anew: bool) -> str:
        """Replaces the managed set, or adds to it; returns its digest there. On SAVES, as
        everything that a run which is sent next must find done."""
        digest = ""
        for last, body in identity.pack_parts(entries):
            part = messages.Manage(0, self.number, anew, last, body)
            anew = False
            if not last:
                await self.agent.send(part, frames.SAVES)
                continue

            def ask(id: int, part: messages.Manage = part) -> messages.Message:
                return part._replace(id=id)

            digest = await self._swept(ask, frames.SAVES)
        return digest

    async def sweep(self) -> set[str]:
        """Looks at every managed path there; returns those that newly differ."""
        before = dict(self.differing)
        await self._swept(lambda id: messages.Sweep(id, self.number), frames.CONTROL)
        return {path for path, there in self.differing.items() if before.get(path, path) != there}

    async def _swept(self, build: Callable[[int], messages.Message], lane: int) -> str:
        digest = ""
        async for part in self.agent.parts(build, lane):
            assert isinstance(part, messages.Swept)
            self._take_differences(part)
            digest = part.digest
        return digest

    def _take_differences(self, part: messages.Swept) -> None:
        for path, there in identity.unpack(part.body):
            agreed = self._base.entries.get(path)
            if agreed is not None and agreed.remote == there:
                self._untold[path] = True  # its list lags behind base
            self.differs(path, there)

    def differs(self, path: str, there: Identity | None) -> None:
        """The agent says that this is at the path."""
        agreed = self._base.entries.get(path)
        if agreed is not None and agreed.remote == there:
            self.agrees(path)
        elif agreed is not None or there is not None:
            self.differing[path] = there

    def agree(self, path: str, agreed: Agreed) -> None:
        """Both sides are alike at this path, without a change of ours; `tell` must follow."""
        self.agrees(path)
        self._base.agree(path, agreed)
        self._untold[path] = True

    def brought(self, path: str, agreed: Agreed, theirs: bool) -> None:
        """What was seen there is here now; `tell` must follow. News that came meanwhile stay."""
        if self.differing.get(path, agreed.remote) == agreed.remote:
            self.agrees(path)
        managed = path in self._base.entries and not self._base.is_theirs(path)
        self._base.agree(path, agreed)
        self._base.leave(path, theirs)
        if managed or not theirs:
            self._untold[path] = not theirs

    def pushed(self, path: str, theirs: bool) -> None:
        """What was sent is there and agreed on; the agent took the path into its list."""
        if path in self._base.entries:
            self._base.leave(path, theirs)
            if theirs:
                self._untold[path] = False

    def leave(self, path: str, theirs: bool) -> None:
        """Makes a path that is agreed on the remote's, or ours again; `tell` must follow."""
        if theirs != self._base.is_theirs(path):
            self._base.leave(path, theirs)
            self._untold[path] = not theirs

    def forget(self, path: str) -> None:
        """The path is no longer managed; `tell` must follow."""
        self.agrees(path)
        self._base.drop(path)
        self._untold[path] = False
        self._cross([path])

    def answered(self, path: str) -> bool:
        """A change of the path was made; whether the path is to be looked at again, since it was
        forgotten meanwhile: base has it now, and the agent may not, or it should not be there."""
        self.agrees(path)
        if path not in self._crossed:
            return False
        self._crossed.discard(path)
        self._untold[path] = path in self._base.entries
        return True

    def _cross(self, forgotten: Iterable[str]) -> None:
        self._crossed.update(path for path in forgotten if self.on_its_way(path))

    async def tell(self) -> None:
        """The agent's managed set follows what `agree` and `forget` did to base. Before a change
        of such a path is sent, since the agent takes one after the other."""
        untold, self._untold = self._untold, {}
        try:
            theirs = self._base.theirs
            gone = [
                path
                for path, managed in untold.items()
                if path in theirs or (not managed and path not in self._base.entries)
            ]
            self._cross(gone)
            for some in _portions(gone):
                await self.agent.send(messages.Forget(0, self.number, some), frames.SAVES)
            entries = [
                (path, self._base.entries[path].remote)
                for path, managed in untold.items()
                if managed and path in self._base.entries and path not in theirs
            ]
            if entries:
                await self._manage(entries, anew=False)
        except BaseException:
            self._untold = untold | self._untold  # called off: it is told with the next ones
            raise


def _portions(paths: Iterable[str]) -> Iterable[list[str]]:
    whole = list(paths)
    return (whole[at : at + LOOKUP] for at in range(0, len(whole), LOOKUP))
