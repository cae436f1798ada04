"""The repository there follows the one here, in one exchange: *what do you hold*, the objects that
are missing, then branch, HEAD and index in one step of the agent's (agent/git/follower.py).

What was committed there and is not here is never moved away from unasked: it is brought here as a
remote-tracking branch, and told.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import struct
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sidecar.core import amount, frames, messages, staged
from sidecar.errors import RemoteError, SyncError
from sidecar.git import here
from sidecar.git.here import Listing, Local
from sidecar.git.repository import Looker, Repository, may_be_in_one
from sidecar.remote.connection import AgentConnection

TRIES = 3
"""How often it is begun anew where the other side has changed meanwhile."""

ASK_ABOVE = 200 << 20
"""Bytes of objects that are not sent without a word."""

MOST_REFS = 16 << 20
"""Bytes that the list of refs may unfold to."""

SMALL = 64 << 10
"""Packs up to this size go ahead of bulk: a commit of a few files is wanted now."""


MOST_MOVES = 1000
"""Commits to which we moved the one there that are known for that."""


async def _at_once() -> None:
    return None


class Side(NamedTuple):
    """What sync knows of the files: see here.what_is_staged. `digest`: of the managed set, which
    changes whenever `local` does. `arrived`: returns when what was changed here before has come
    there."""

    local: Local
    stays_here: Callable[[str], bool]
    digest: Callable[[], str]
    arrived: Callable[[], Awaitable[None]] = _at_once


class Outcome(NamedTuple):
    """`state`: "none" (no repository here, or no git there), "left" alone, "absent" (none there,
    and none is made unasked), "waits", "apart" (commits there that are not here), or "same".
    `text`: that in words; `fix`: what to do about it. `kept`: refs there that keep what was
    before. `fetched`: the ref here of what was committed there."""

    state: Literal["none", "left", "absent", "waits", "apart", "same"]
    text: str
    fix: str = ""
    head: str = ""
    branch: str = ""
    kept: tuple[str, ...] = ()
    fetched: str = ""
    notes: tuple[str, ...] = ()


class There(NamedTuple):
    """What the agent says of the repository there."""

    seen: messages.GitSeen
    refs: dict[str, str]


async def look_there(agent: AgentConnection, number: int) -> There:
    """Raises SidecarError as AgentConnection.request."""
    seen = await agent.request(lambda id: messages.Git(id, number))
    if not isinstance(seen, messages.GitSeen):
        raise _garbled("what repository is there")
    if seen.head and not _is_oid(seen.head):
        raise _garbled("where its HEAD is")
    return There(seen, _refs(seen.body))


class Push:
    """Brings one repository there up to the one here, over one connection.

    Where it left the one there is remembered, so that the next move is one exchange: the agent
    looks whether it still is so before it moves anything.

    Args:
        root: the project here.
        host: as the configuration calls it.
        side: what sync knows.
        last: what `last` was with the connection before.
    """

    def __init__(
        self,
        root: Path,
        host: str,
        agent: AgentConnection,
        number: int,
        side: Side,
        last: str = "",
    ) -> None:
        self._root, self._host = root, host
        self._looker = Looker(root)
        self._staged_there: set[str] = set()
        self._agent, self._number, self._side = agent, number, side
        self._there: There | None = None
        self._moved_to: set[str] = set()
        self.repository: Repository | None = None
        """The one here, as of the last look."""
        self.last = last
        """A digest of what the one there was last made: where nothing else is to be made of it,
        what somebody staged there since stays."""

    def moved_there(self) -> None:
        """Something has changed in the repository there: what is remembered of it is old."""
        self._there = None

    async def look(self) -> Outcome:
        """Where both repositories are, as far as that is known without bringing anything over."""
        repository = await asyncio.to_thread(self._looker.look)
        if repository is None or repository.left:
            return _left_here(repository)
        there = await look_there(self._agent, self._number)
        return self._apart_or(repository, there) or await self._compared(repository, there)

    async def follow(
        self, *, make: bool = False, anyway: bool = False, yes: bool = False
    ) -> Outcome:
        """Brings branch, HEAD and index there up to here, behind the files.

        Args:
            make: make a repository where there is none.
            anyway: also where commits were made there; they are brought here and kept there.
            yes: send whatever the size.
        Raises:
            SidecarError: git fails on one side, or the connection went away.
        """
        outcome = Outcome("waits", "files are still on their way", "run it again")
        for _ in range(TRIES):
            remembered = self._there is not None
            try:
                return await self._followed(make=make, anyway=anyway, yes=yes)
            except RemoteError as error:
                self._there = None
                if error.code not in ("git-differs", "git-behind", "git-busy"):
                    if remembered and error.code == "git":
                        continue
                    raise
                text = f"{self._host}: {error.why or error.what}"
                outcome = Outcome("waits", text, "run it again when that is over")
        return outcome

    async def _followed(self, *, make: bool, anyway: bool, yes: bool) -> Outcome:
        if not may_be_in_one(self._root):
            self.repository = None
            return _left_here(None)
        asking = asyncio.ensure_future(self._look_there())
        try:
            repository = self.repository = await asyncio.to_thread(self._looker.look)
            if repository is None or repository.left:
                return _left_here(repository)
            # What belongs to this index was written before it, so it is sent before it.
            listed = await here.listing(self._root, repository.head)
            await self._side.arrived()
            there = await asking
        finally:
            asking.cancel()
            await asyncio.wait([asking])
            if not asking.cancelled():
                asking.exception()  # told by whoever waited for it, or of no interest any more
        if make and there.seen.version and not there.seen.kind:
            await self._make(repository)
            there = await look_there(self._agent, self._number)
        before = self._apart_or(repository, there)
        if before is not None:
            return before
        if there.seen.busy:
            fix = "run it again when that is over"
            return Outcome("waits", f"{self._host}: {there.seen.busy}", fix)
        fetched, apart = await self._fetched(repository, there)
        if apart is not None and not anyway:
            return apart
        return await self._moved(repository, listed, there, fetched, anyway=anyway, yes=yes)

    async def _look_there(self) -> There:
        return self._there or await look_there(self._agent, self._number)

    def _apart_or(self, repository: Repository, there: There) -> Outcome | None:
        """What keeps the one there from following, of what is no matter of commits."""
        seen = there.seen
        if not seen.version:
            return Outcome("none", f"there is no git on {self._host}; files are synced without")
        if seen.kind == "inside":
            text = f"the folder lies in the repository {seen.why} on {self._host}"
            return Outcome("left", text, "make the project's folder a repository of its own there")
        if seen.kind == "left":
            return Outcome("left", f"the repository on {self._host} is left alone: {seen.why}")
        if not seen.kind:
            text = f"there is no repository on {self._host}"
            return Outcome("absent", text, "run `sidecar git push` to make it")
        if seen.algorithm != repository.algorithm:
            text = f"objects are named by {repository.algorithm} here, {seen.algorithm} there"
            return Outcome("left", text)
        return None

    async def _compared(self, repository: Repository, there: There) -> Outcome:
        seen = there.seen
        was = there.refs.get(repository.branch, "") if repository.branch else seen.head
        if was and was != repository.head:
            present = await asyncio.to_thread(here.known, self._root, [was])
            mine = was in present and await asyncio.to_thread(
                here.was_here, self._root, repository.branch, repository.head, was
            )
            if not mine:
                text = f"{self._host} has commits that are not here"
                return Outcome("apart", text, "run `sidecar git push` to bring them here")
        if (seen.head, seen.branch) == (repository.head, repository.branch):
            return _same(repository)
        text = f"{self._host} is at {_place(seen.branch, seen.head)}"
        text += f", and here is {_place(repository.branch, repository.head)}"
        if seen.busy:
            text += f"; there, {seen.busy}"
        return Outcome("waits", text, "run `sidecar git push`", seen.head, seen.branch)

    async def _make(self, repository: Repository) -> None:
        branch = repository.branch or "refs/heads/main"
        await self._agent.request(
            lambda id: messages.GitMake(id, self._number, repository.algorithm, branch)
        )

    # --- what was committed there

    async def _fetched(self, repository: Repository, there: There) -> tuple[str, Outcome | None]:
        """Brings here what was committed there, on the branch that is to move or where HEAD is
        detached; and says whether that is why nothing moves."""
        was = there.refs.get(repository.branch, "") if repository.branch else there.seen.head
        if not was or was == repository.head or was in self._moved_to:
            return "", None
        branch, head = repository.branch, repository.head
        present = await asyncio.to_thread(here.known, self._root, [was])
        if was in present and await asyncio.to_thread(here.was_here, self._root, branch, head, was):
            return "", None
        ref = await asyncio.to_thread(here.tracking_ref, self._root, self._host, branch)
        if was not in present:
            await self._fetch(was, [head] if head else [])
        await asyncio.to_thread(here.set_ref, self._root, ref, was)
        ahead = await asyncio.to_thread(here.count, self._root, head, was)
        short = ref.removeprefix("refs/remotes/")
        commits = f"{ahead} commit{'' if ahead == 1 else 's'}"
        return ref, Outcome(
            "apart",
            f"{self._host} has {commits} that {'is' if ahead == 1 else 'are'} not here: {short}",
            f"`git merge {short}` takes them over; `sidecar git repair` sets them aside there",
            there.seen.head,
            there.seen.branch,
            fetched=ref,
        )

    async def _fetch(self, want: str, haves: list[str]) -> None:
        process = await asyncio.to_thread(here.take_pack, self._root)
        assert process.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # then its status says why
                async with contextlib.aclosing(
                    self._agent.parts(lambda id: messages.GitWant(id, self._number, [want], haves))
                ) as parts:
                    async for part in parts:
                        if not isinstance(part, messages.GitPart):
                            raise _garbled("a pack")
                        await asyncio.to_thread(process.stdin.write, part.body)
            _, said = await asyncio.to_thread(process.communicate)
            if process.returncode:
                why = said.decode("utf-8", "replace").strip()[-400:]
                raise SyncError(f"What {self._host} sent was not taken", why, code="git")
        finally:
            await asyncio.to_thread(_ended, process)

    # --- what is sent

    async def _moved(
        self,
        repository: Repository,
        listed: Listing,
        there: There,
        fetched: str,
        *,
        anyway: bool,
        yes: bool,
    ) -> Outcome:
        seen, head, branch = there.seen, repository.head, repository.branch
        digest = self._side.digest()
        what = await asyncio.to_thread(
            here.what_is_staged, self._root, listed, self._side.local, self._side.stays_here
        )
        body = staged.pack(what)
        missing = {name: oid for name, oid in listed.tags.items() if name not in there.refs}
        parts = (head, branch, body.hex(), digest)
        this = hashlib.blake2b(" ".join(parts).encode(), digest_size=16).hexdigest()
        stays = this == self.last and (seen.head, seen.branch) == (head, branch) and not missing
        if stays and not anyway:
            return _same(repository)._replace(fetched=fetched)
        blobs = here.blobs(what)
        commits = [head, *missing.values()] if head else []
        packed = await self._send(commits, blobs - self._staged_there, there, yes=yes)
        try:
            if digest != self._side.digest():
                raise RemoteError("files are still on their way", code="git-behind")
            if not self._looker.is_where(repository):
                raise RemoteError("the repository here is moving", code="git-behind")
            moved = await self._move(repository, seen, there, missing, digest, body)
        finally:
            if packed is not None:
                await packed  # what went wrong with it is why the rest did
        if not isinstance(moved, messages.GitMoved):
            raise _garbled("where its HEAD is")
        self._remember(repository, there, missing)
        self._staged_there, self.last = blobs, this
        return _same(repository)._replace(kept=tuple(moved.kept), fetched=fetched)

    def _remember(self, repository: Repository, there: There, tags: dict[str, str]) -> None:
        """Where it is now."""
        head, branch = repository.head, repository.branch
        refs = {**there.refs, **tags}
        if branch and head:
            refs[branch] = head
        self._there = There(there.seen._replace(head=head, branch=branch), refs)
        if len(self._moved_to) >= MOST_MOVES:
            self._moved_to.clear()
        self._moved_to.add(head)

    async def _move(
        self,
        repository: Repository,
        seen: messages.GitSeen,
        there: There,
        tags: dict[str, str],
        digest: str,
        body: bytes,
    ) -> Any:
        branch = repository.branch
        number = 0

        def move(id: int, part: bytes, *, last: bool) -> messages.GitMove:
            nonlocal number
            number = id
            return messages.GitMove(
                id, self._number, branch, repository.head, seen.branch, seen.head,
                there.refs.get(branch, ""), tags, digest, last, part,
            )  # fmt: skip

        size = frames.MAX_FRAME // 2
        *first, last = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
        if first:
            number = self._agent.fresh_id()
            for part in first:
                await self._agent.send(move(number, part, last=False), frames.SAVES)
        return await self._agent.request(
            lambda id: move(id, last, last=True), frames.SAVES, number=number
        )

    async def _send(
        self, commits: list[str], blobs: set[str], there: There, *, yes: bool
    ) -> asyncio.Task[Any] | None:
        """The objects that are missing there.

        Returns:
            What waits for the answer where that need not be waited for: what is sent on the saves'
            lane comes behind it.
        """
        held = sorted({*there.refs.values(), *filter(None, [there.seen.head])})
        haves = await asyncio.to_thread(here.known, self._root, held)
        wants = [*(oid for oid in commits if oid not in haves), *sorted(blobs)]
        if not wants:
            return None
        if not haves and not yes:
            weight = await asyncio.to_thread(here.weight, self._root, wants)
            if weight > ASK_ABOVE:
                raise self._too_large(weight)
        process = await asyncio.to_thread(here.start_pack, self._root, wants, sorted(haves))
        assert process.stdout is not None
        try:
            return await self._stream(process.stdout.read, yes=yes)
        finally:
            await asyncio.to_thread(_ended, process)

    async def _stream(self, read: Callable[[int], bytes], *, yes: bool) -> asyncio.Task[Any] | None:
        """Sends a pack as it comes out of git. One that is not whole is refused there."""
        head = await asyncio.to_thread(read, SMALL)
        if len(head) < 12 or head[:4] != b"PACK":
            raise SyncError("git made no pack", code="git")
        (objects,) = struct.unpack(">L", head[8:12])
        if not objects:
            return None
        number, sent = self._agent.fresh_id(), 0
        if len(head) < SMALL:
            whole = messages.GitPack(number, self._number, objects, True, head)
            answer = self._agent.request(lambda id: whole, frames.SAVES, number=number)
            task = asyncio.create_task(answer, name="pack")
            await asyncio.sleep(0)  # it is queued by then, since that lane never waits
            return task
        chunk = head
        while True:
            following = await asyncio.to_thread(read, frames.CHUNK)
            sent += len(chunk)
            if sent > ASK_ABOVE and not yes:
                await self._give_up(number, objects)
            if not following:
                break
            await self._part(number, objects, chunk)
            chunk = following
        last = chunk
        await self._agent.request(
            lambda id: messages.GitPack(id, self._number, objects, True, last),
            frames.BULK,
            number=number,
        )
        return None

    async def _part(self, number: int, objects: int, chunk: bytes) -> None:
        for at in range(0, len(chunk), frames.CHUNK):
            part = chunk[at : at + frames.CHUNK]
            await self._agent.send(
                messages.GitPack(number, self._number, objects, False, part), frames.BULK
            )

    async def _give_up(self, number: int, objects: int) -> None:
        """Ends the stream; the other side finds the pack cut off and keeps nothing of it."""
        with contextlib.suppress(RemoteError):
            await self._agent.request(
                lambda id: messages.GitPack(id, self._number, objects, True, b""),
                frames.BULK,
                number=number,
            )
        raise self._too_large(ASK_ABOVE)

    def _too_large(self, weight: int) -> SyncError:
        return SyncError(
            f"The repository has over {amount.size(weight)} to send to {self._host}",
            "nobody has agreed to that yet",
            "run `sidecar git push --yes`, or set git = false",
            code="git-large",
        )


def _left_here(repository: Repository | None) -> Outcome:
    if repository is None:
        return Outcome("none", "the project is no git repository here")
    return Outcome("left", f"the repository here is not followed: {repository.left}")


def _same(repository: Repository) -> Outcome:
    head, branch = repository.head, repository.branch
    return Outcome("same", f"at {_place(branch, head)}", "", head, branch, notes=repository.notes)


def _place(branch: str, head: str) -> str:
    name = branch.removeprefix("refs/heads/")
    return f"{name} {head[:9]}".strip() if head else f"{name}, without a commit"


def _refs(body: bytes) -> dict[str, str]:
    unfold = zlib.decompressobj()
    try:
        found = json.loads(unfold.decompress(body, MOST_REFS).decode("ascii")) if body else {}
    except (zlib.error, ValueError, RecursionError):
        raise _garbled("its branches") from None
    if not isinstance(found, dict) or not all(_is_ref(*pair) for pair in found.items()):
        raise _garbled("its branches")
    return found


def _is_ref(name: Any, oid: Any) -> bool:
    """An object's name goes into command lines of ours."""
    return isinstance(name, str) and isinstance(oid, str) and _is_oid(oid)


def _is_oid(text: str) -> bool:
    return len(text) in (40, 64) and set(text) <= set("0123456789abcdef")


def _garbled(what: str) -> RemoteError:
    return RemoteError(f"The remote machine said {what} in a way that is not understood")


def _ended(process: Any) -> None:
    """Kills it if it runs, and lets go of its pipes. Blocking."""
    if process.poll() is None:
        process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait()
