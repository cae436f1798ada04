"""Reconcile: three trees in, what to do out. A pure function of its arguments.

The laptop's side is the author: changes here go there, changes there are never overwritten
unless `prefer` says so for the path; where they are wanted (`pull`), they come here. With B, L, R
for what base, local and remote have at a path (`-` nothing, letters for contents, equal letters
for equal nodes; D a directory):

    B L R                          plan                 note
    - - -   x x x                  nothing
    - x x   x y y                  Adopt                                       (agreement)
    x - -                          Drop                                        (gone on both)
    - x -                          Push                                        (new here)
    x y x                          Push                                        (changed here)
    x - x                          Remove                                      (deleted here)
    x x -   x y -                  Push                 deleted-there          (put back)
    x x y                          nothing              newer-there
    x - y                          nothing              kept
    - x y   x y z                  nothing              conflict
    - - x   push                   nothing                                     (theirs for ever)
    - - x   mirror                 Remove

`Push` stands for MakeDirectory where L is a directory. `pull` says of each path whether changes
there come here (COMES), and whether it is the remote's own (THEIRS): something that a program
there made. For files and links, in either mode, that changes these rows:

    - - x   COMES                  Take                                        (new there)
    x x y   COMES                  Take                                        (changed there)
    x - y   COMES and THEIRS       Take                                        (changed there)
    x - x   THEIRS                 nothing                                     (deleted here only)
    x x -   THEIRS                 nothing                                     (deleted there only)
    - - x   THEIRS, mirror         nothing

So a pull never deletes here, and what a job made there is not removed by deleting it here. Of
directories only the last three rows hold: they come with what is in them. Where a directory meets
something else:

    x D x                          Remove, MakeDirectory                       (file → directory)
    D x D                          Remove all below and D, Push x              (directory → file)
    D x D, something below stays   nothing              conflict, below too
    D D x   - D x   x D y          nothing              conflict, below too    (never a replacement)
    x x D   - x D   x y D          nothing              conflict, below too
    D - D, only theirs below       Drop                 kept                   (said at the top)
    D - D, a note below            nothing                                     (till it is settled)

A note at a path that could not be brought together covers what is below it: nothing is planned
there, nothing said. A FIFO, socket or device on either side is never touched.

`prefer` "local" turns newer-there, kept and conflict into the change from here (with theirs to
the trash, which is the agent's work); a directory there still only makes way when nothing that
only the remote has is in it. "remote" turns them into Take (with ours to the trash here), but for
what was deleted there, and where a directory meets something else: that is left on both sides, with
the note "kept", since nothing here goes because something is missing there. Neither touches paths
of which this side only has a change.

Theory: B. C. Pierce, J. Vouillon, "What's in Unison?", MS-CIS-03-36, 2004.
"""

from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Set, Tuple, Union

from sidecar.core import paths as names
from sidecar.core.identity import DIRECTORY, FILE, OTHER, SYMLINK
from sidecar.core.tree import Node, Tree, ancestors

PUSH, MIRROR = "push", "mirror"
"""Modes: whether paths that only the remote has are left alone, or removed. In "mirror" the caller
leaves out of `remote` what is not its to remove (ignored paths, say)."""

LOCAL, REMOTE = "local", "remote"

COMES, THEIRS = 1, 2
"""What `pull` says of a path; both may be."""

CONFLICT = "conflict"
NEWER_THERE = "newer-there"
DELETED_THERE = "deleted-there"
KEPT = "kept"


class Push(NamedTuple):
    """Make the remote's file or link like the local one: content, executable bit, mtime."""

    path: str


class MakeDirectory(NamedTuple):
    path: str


class Remove(NamedTuple):
    """Remove a file or link there; of a directory, only if it is empty by then. That it is not
    (the remote may hold what this plan does not know of) is no error: drop it from base."""

    path: str


class Adopt(NamedTuple):
    """Both sides are alike: enter it into base. Nothing moves."""

    path: str


class Drop(NamedTuple):
    """Take it out of base. Nothing moves."""

    path: str


class Take(NamedTuple):
    """Make the local file or link like the remote's; nothing, or a file or a link, is here now."""

    path: str


Action = Union[Push, MakeDirectory, Remove, Adopt, Drop, Take]


class Note(NamedTuple):
    """Something a person should know. `kind` is one of the four constants above."""

    path: str
    kind: str
    text: str


class Plan(NamedTuple):
    """`actions` in the order of doing: what is only written down; what makes room, deepest first;
    directories, from the top; files and links; other removals, deepest first; what comes here."""

    actions: List[Action]
    notes: List[Note]


Prefer = Union[str, Mapping[str, str]]
Pulled = Callable[[str], int]


def nothing_comes(path: str) -> int:
    """For `pull` where there are no patterns."""
    return 0


def reconcile(
    paths: Iterable[str],
    base: Optional[Tree],
    local: Tree,
    remote: Tree,
    mode: str = PUSH,
    prefer: Prefer = "",
    pull: Pulled = nothing_comes,
) -> Plan:
    """The plan that brings these paths together, as the table above says.

    Args:
        paths: where something may have changed. Looked at besides: the folders above them, and
            all below a directory that is to vanish or to make way, so that a save costs the same
            (15 µs) in any tree.
        base: None and empty are first contact: whatever differs is a conflict.
        local, remote: whole trees; a missing key means that nothing is there. A tree that holds a
            path holds the folders above it too.
        mode: PUSH or MIRROR.
        prefer: LOCAL, REMOTE or "" (ask), for all paths or for each by a mapping.
        pull: COMES and THEIRS, or-ed.
    """
    # Not `base or {}`: whether a tree seen through an overlay is empty takes a walk through it.
    return _Planner({} if base is None else base, local, remote, mode, prefer, pull).plan(paths)


class _Planner:
    def __init__(
        self, base: Tree, local: Tree, remote: Tree, mode: str, prefer: Prefer, pull: Pulled
    ) -> None:
        self.base, self.local, self.remote = base, local, remote
        self.mode, self.prefer, self.pull = mode, prefer, pull
        self.written: List[Action] = []
        self.room: List[str] = []
        self.directories: List[str] = []
        self.pushes: List[str] = []
        self.removals: List[str] = []
        self.takes: List[str] = []
        self.notes: List[Note] = []
        # Folders that cannot be removed, since something in them stays: True where base knows one
        # of those things (it has a note of its own), False where only the remote does.
        self.holds: Dict[str, bool] = {}
        # Paths at which nothing could be done, and all below them.
        self.closed: Set[str] = set()
        # Directories that make way, and all below them.
        self.clearing: Set[str] = set()
        # Folders of which it was said that they hold the remote's own things, and such below.
        self.kept: Set[str] = set()
        # Folders that are made again or in another thing's place: that what was in them is
        # missing there needs no further word.
        self.made_again: Set[str] = set()

    def plan(self, paths: Iterable[str]) -> Plan:
        involved = self._involved(paths)
        for path in involved:
            self._mark_what_stays(path)
        for path in sorted(involved):  # which puts folders before what is in them
            above = names.parent(path)
            if above in self.closed:
                self.closed.add(path)
                if path in self.base and path not in self.local and path not in self.remote:
                    self.written.append(Drop(path))
                continue
            if above in self.clearing:
                self.clearing.add(path)
            self._decide(path)
        return Plan(self._ordered(), self.notes)

    def _ordered(self) -> List[Action]:
        actions = self.written
        actions.extend(Remove(path) for path in sorted(self.room, key=_deepest_first))
        actions.extend(MakeDirectory(path) for path in self.directories)
        actions.extend(Push(path) for path in self.pushes)
        actions.extend(Remove(path) for path in sorted(self.removals, key=_deepest_first))
        actions.extend(Take(path) for path in self.takes)
        return actions

    # What has to be looked at -----------------------------------------------------------------

    def _involved(self, paths: Iterable[str]) -> Set[str]:
        involved = {path for path in paths if not self._is_settled(path)}
        for path in list(involved):
            for above in ancestors(path):
                if above in involved:
                    break
                involved.add(above)
        tops = {path for path in involved if self._decides_below(path)}
        if tops:
            below: Dict[str, bool] = {"": False}
            for tree in (self.base, self.local, self.remote):
                involved.update(path for path in tree if _is_below(path, tops, below))
        return involved

    def _is_settled(self, path: str) -> bool:
        """Whether all three are alike: no decision can come to such a path from elsewhere, for
        nothing above it can be in dispute."""
        here = self.local.get(path)
        return here is not None and here == self.base.get(path) and here == self.remote.get(path)

    def _decides_below(self, path: str) -> bool:
        """Whether what is done at a path touches what is below it."""
        here, there = _is_directory(self.local, path), _is_directory(self.remote, path)
        if here:
            return not there and (path in self.remote or path in self.base)
        return there or _is_directory(self.base, path)

    def _mark_what_stays(self, path: str) -> None:
        if path not in self.remote or (path not in self.local and self._removable(path)):
            return
        known = path in self.base and not self.pull(path) & THEIRS
        for above in ancestors(path):
            if above in self.holds and (self.holds[above] or not known):
                break
            self.holds[above] = known

    # One path ---------------------------------------------------------------------------------

    def _decide(self, path: str) -> None:
        was, here, there = self.base.get(path), self.local.get(path), self.remote.get(path)
        if here == there:
            if here is None:
                if was is not None:
                    self.written.append(Drop(path))
            elif here != was and here.kind != OTHER:
                self.written.append(Adopt(path))
        elif here is None:
            self._nothing_here(path, was)
        elif here.kind == OTHER:
            self._leave(path, CONFLICT, "neither a file nor a folder nor a link here; not synced")
        elif there is None:
            self._nothing_there(path, was, here)
        else:
            self._different(path, was, here, there)

    def _nothing_here(self, path: str, was: Optional[Node]) -> None:
        there, theirs = self.remote[path], self.pull(path) & THEIRS
        if self._comes(path, there) and there != was and (was is None or theirs):
            self.takes.append(path)
        elif theirs and (was is None or there == was):
            return
        elif not self._removable(path):
            if was is not None and self._preferred(path) == REMOTE and _comes_whole(there):
                self.takes.append(path)
            elif was is not None:
                self._leave(path, KEPT, "deleted here, but changed on the remote since; kept there")
        elif path not in self.holds:
            (self.room if path in self.clearing else self.removals).append(path)
        elif was is not None and not self.holds[path]:
            self.written.append(Drop(path))
            if names.parent(path) not in self.kept:
                self._say(path, KEPT, "deleted here; on the remote it holds other files")
            self.kept.add(path)

    def _nothing_there(self, path: str, was: Optional[Node], here: Node) -> None:
        if was is not None:
            if here == was and self.pull(path) & THEIRS:
                return
            if self._preferred(path) == REMOTE:
                self._leave(path, KEPT, "deleted on the remote; left so")
                return
            if names.parent(path) not in self.made_again:
                self._say(path, DELETED_THERE, "was deleted on the remote; put back")
            self.made_again.add(path)
        self._bring(path, here)

    def _different(self, path: str, was: Optional[Node], here: Node, there: Node) -> None:
        """Something here, something else there."""
        if there.kind == OTHER:
            self._leave(path, CONFLICT, "neither a file nor a folder nor a link on the remote")
            return
        preferred = LOCAL if there == was else self._preferred(path)
        wanted = here == was and preferred != LOCAL and self._comes(path, there)
        wanted = wanted or preferred == REMOTE
        if wanted and _comes_whole(here) and _comes_whole(there):
            self.takes.append(path)
        elif preferred == REMOTE:
            self._leave(path, KEPT, "differs on the remote; left as it is there")
        elif preferred != LOCAL:
            if here.kind == DIRECTORY or there.kind == DIRECTORY:
                kinds = _NOUNS[here.kind], _NOUNS[there.kind]
                self._leave(path, CONFLICT, "a %s here, a %s on the remote" % kinds)
            elif here == was:
                self._leave(path, NEWER_THERE, "changed on the remote, not here; left as it is")
            elif was is None:
                self._leave(path, CONFLICT, "is here and on the remote with different content")
            else:
                self._leave(path, CONFLICT, "changed both here and on the remote")
        elif there.kind == DIRECTORY and path in self.holds:
            text = "a %s here, on the remote a folder that holds files that are not here"
            self._leave(path, CONFLICT, text % _NOUNS[here.kind])
        else:
            if there.kind == DIRECTORY:
                self.clearing.add(path)
            if DIRECTORY in (here.kind, there.kind):
                self.room.append(path)
                self.made_again.add(path)
            self._bring(path, here)

    def _removable(self, path: str) -> bool:
        """Whether what the remote has goes, where nothing is here."""
        was, there = self.base.get(path), self.remote[path]
        if there.kind == OTHER:
            return False
        pull = self.pull(path)
        if pull & THEIRS:
            return False
        if was is None:  # also of a folder that comes, which may be about to be filled
            return self.mode == MIRROR and not pull & COMES and self._preferred(path) != REMOTE
        return there == was or self._preferred(path) == LOCAL

    def _comes(self, path: str, there: Node) -> bool:
        """Whether what is there is wanted here, and can be had."""
        return _comes_whole(there) and bool(self.pull(path) & COMES)

    def _preferred(self, path: str) -> str:
        return self.prefer if isinstance(self.prefer, str) else self.prefer.get(path, "")

    def _bring(self, path: str, here: Node) -> None:
        (self.directories if here.kind == DIRECTORY else self.pushes).append(path)

    def _leave(self, path: str, kind: str, text: str) -> None:
        self.closed.add(path)
        self._say(path, kind, text)

    def _say(self, path: str, kind: str, text: str) -> None:
        self.notes.append(Note(path, kind, text))


_NOUNS = {FILE: "file", DIRECTORY: "folder", SYMLINK: "link", OTHER: "special file"}


def _comes_whole(node: Node) -> bool:
    return node.kind in (FILE, SYMLINK)


def _is_directory(tree: Tree, path: str) -> bool:
    node = tree.get(path)
    return node is not None and node.kind == DIRECTORY


def _is_below(path: str, tops: Set[str], known: Dict[str, bool]) -> bool:
    """Whether a path is below one of `tops`. `known` remembers the answer for folders' entries."""
    asked = []
    at = names.parent(path)
    while at not in known:
        asked.append(at)
        if at in tops:
            known[at] = True
            break
        at = names.parent(at)
    answer = known[at]
    for folder in asked:
        known[folder] = answer
    return answer


def _deepest_first(path: str) -> Tuple[int, str]:
    return -path.count("/"), path
