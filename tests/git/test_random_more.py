"""Random git on both sides, with cuts and kills between: no commit is ever lost, nothing is
corrupt, and at rest both sides say the same."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.errors import SidecarError
from tests.git.shell import commit, git, words
from tests.git.test_push import Pair
from tests.servers.programs import need_program
from tests.sync.sides import Sides

STEPS = 14


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    need_program("git")
    sides = Sides(tmp_path)
    git(sides.here, "init", "-q", "-b", "main")
    for number in range(5):
        sides.write(f"src/m{number}.py", f"{number}\n")
    commit(sides.here, "first")
    await sides.begin(watch=False)
    await sides.attach()
    yield Pair(sides)
    await sides.end()


class Chaos:
    """What people and machines do, by a seed."""

    def __init__(self, pair: Pair, seed: int) -> None:
        self.pair, self.dice = pair, random.Random(seed)
        self.mine: set[str] = set()
        self.theirs: set[str] = set()
        self.count = 0

    def edit(self, folder: Path) -> None:
        self.count += 1
        (folder / f"src/m{self.dice.randrange(8)}.py").write_text(f"{self.count}\n")

    def here(self) -> None:
        here = self.pair.here
        what = self.dice.choice(["commit", "amend", "branch", "switch", "merge", "stage", "reset"])
        if what in ("commit", "amend", "stage"):
            self.edit(here)
        if what == "commit":
            commit(here, f"here {self.count}")
        elif what == "amend":
            git(here, "commit", "-q", "-a", "--amend", "--allow-empty", "-m", "amended")
        elif what == "branch":
            git(here, "checkout", "-q", "-b", f"topic{self.count}", fails=True)
        elif what == "switch":
            branches = words(here, "branch", "--format=%(refname:short)").split()
            git(here, "checkout", "-q", "-f", self.dice.choice(branches), fails=True)
        elif what == "merge":
            branches = words(here, "branch", "--format=%(refname:short)").split()
            git(here, "merge", "-q", "-X", "ours", self.dice.choice(branches), fails=True)
            git(here, "merge", "--abort", fails=True)
        elif what == "stage":
            git(here, "add", "-A")
        else:
            git(here, "reset", "-q", "--hard", "HEAD~1", fails=True)
        self.mine |= self.head(here)

    def there(self) -> None:
        there = self.pair.there
        if not (there / ".git").is_dir():
            return
        what = self.dice.choice(["commit", "branch", "stage", "tag"])
        if what == "commit":
            commit(there, f"there {self.count}")
        elif what == "branch":
            git(there, "branch", f"theirs{self.count}", fails=True)
        elif what == "stage":
            git(there, "add", "-A")
        else:
            git(there, "tag", f"t{self.count}", fails=True)
        self.theirs |= self.head(there)

    @staticmethod
    def head(folder: Path) -> set[str]:
        found = git(folder, "rev-parse", "-q", "--verify", "HEAD", fails=True).decode().strip()
        return {found} - {""}

    async def machine(self) -> None:
        sides = self.pair.sides
        what = self.dice.choice(["follow", "follow", "repair", "cut", "kill"])
        if what in ("cut", "kill"):
            following = self.pair.push().follow(make=True)
            if self.dice.random() < 0.7:
                # Killed in the middle: whatever it had done by then stays.
                task = asyncio.ensure_future(following)
                for _ in range(self.dice.randrange(40)):
                    await asyncio.sleep(0)
                await sides.cut(signal.SIGKILL if what == "kill" else signal.SIGTERM)
                with contextlib.suppress(SidecarError):
                    await task
            else:
                following.close()
                await sides.cut()
            await sides.attach(prefer="local")
            return
        await sides.engine.sync(prefer="local")
        with contextlib.suppress(SidecarError):
            await self.pair.push().follow(make=True, anyway=what == "repair")

    def none_is_lost(self) -> None:
        """What was HEAD there has a name somewhere, without any reflog; what was reset here is for
        the reflog here to know."""
        reached: set[str] = set()
        for folder in (self.pair.here, self.pair.there):
            if (folder / ".git").is_dir():
                reached |= set(words(folder, "rev-list", "--all").split())
                git(folder, "fsck", "--strict")
        reflog = set(words(self.pair.here, "rev-list", "--all", "--reflog").split())
        assert self.theirs <= reached | (self.mine & reflog)
        assert self.mine <= reflog


@pytest.mark.parametrize("seed", range(6, 22))
async def test_no_commit_is_ever_lost_and_both_sides_agree_at_rest(pair: Pair, seed: int) -> None:
    chaos = Chaos(pair, seed)
    for _ in range(STEPS):
        one = chaos.dice.choice([chaos.here, chaos.here, chaos.there, None])
        if one is not None:
            one()
        else:
            await chaos.machine()
        chaos.none_is_lost()
    await pair.sides.engine.sync(prefer="local")
    outcome = await pair.push().follow(make=True, anyway=True)
    assert outcome.state == "same", outcome
    chaos.none_is_lost()
    for asked in (("rev-parse", "HEAD"), ("ls-files", "-s"), ("diff", "HEAD")):
        assert words(pair.there, *asked) == words(pair.here, *asked), asked
