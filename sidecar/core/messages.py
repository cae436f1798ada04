"""The messages between sidecar and agent: one tuple type each, one codec for all.

A message travels as a frame (frames.py): its fields as a JSON array behind the type's name, and
its `body`, where it has one, as the frame's raw body. Rules of change: a field is added at the
end (before `body`), with a default; none is reordered, retyped or removed; a message with a new
meaning is a new type. Paths are relative to a root, '/'-separated; paths.py checks them, not this.

Whoever asks chooses `id`; the answer carries it. Every request may be answered by `Fail`.
Sequence numbers (`seq`) count the changes of one root, from 1, in the order of sending.

The module is long because it is a table: whoever reads one message wants its neighbours.
"""

import json
from typing import (
    Any,
    Callable,
    Dict,
    List,
    NamedTuple,
    Optional,
    Tuple,
    Type,
    Union,
    get_type_hints,
)

from sidecar.core import frames
from sidecar.core.identity import Identity


class MessageError(Exception):
    """A frame holds no message that we know, or one with a wrong field. Ends the link."""


# --- link ------------------------------------------------------------------------------------


class Ping(NamedTuple):
    id: int


class Pong(NamedTuple):
    """Answer to Ping. `clock_ns`: the agent's wall clock, nanoseconds since the epoch."""

    id: int
    clock_ns: int


class Ack(NamedTuple):
    """Bytes of frames of `lane` that the receiver has processed since the link began."""

    lane: int
    processed: int


class Bye(NamedTuple):
    """To the agent: nobody needs you. It ends its children (not the jobs) and itself."""


class Modules(NamedTuple):
    """To the agent: more of its own code (agent/loader.py)."""

    body: bytes


class Done(NamedTuple):
    """The answer of a request that has nothing to tell but its success."""

    id: int


class Fail(NamedTuple):
    """A request's failure. `code` is for programs, the rest for people: what, why, what next."""

    id: int
    code: str
    what: str
    why: str = ""
    fix: str = ""


# --- roots -----------------------------------------------------------------------------------


class Open(NamedTuple):
    """Look at a project's folder; writes nothing. `path` may begin with `~` or hold `$VAR`.
    `root` is the number by which later messages name it."""

    id: int
    root: int
    path: str


class Opened(NamedTuple):
    """`path` is absolute, with links in it resolved as far as it exists. `refused`: why this
    folder can never be a root (`/`, a home, holds `.ssh`), empty where it can. `entries`: how
    many things the folder holds at its top, our own aside. `marker` and `owner`: who claimed it.
    `user`: whose it is on that machine, "" where it is not there."""

    id: int
    path: str
    exists: bool
    writable: bool
    entries: int
    marker: str
    owner: str
    device: int
    refused: str
    free_bytes: int = -1
    user: str = ""


class Claim(NamedTuple):
    """Make the folder where it is missing, and mark it as ours. Needs an Open before; a marker
    that another one put there since is a Fail "root"."""

    id: int
    root: int
    marker: str
    owner: str


class Manage(NamedTuple):
    """Replaces (`first`) or extends the set of paths that both sides agree on; `body`: packed
    entries (identity.pack) as this agent or an earlier one reported them. After the part that is
    `last`, the agent sweeps the set and answers with Swept."""

    id: int
    root: int
    first: bool
    last: bool
    body: bytes


class Resume(NamedTuple):
    """Go on with the managed set that an earlier agent left in this root, where the root has that
    `marker`. If it has this `digest`, the answer is a sweep's: Swept. Else Remembered, and the
    rest is told: by ForgetFolders and Manage where folders differ, or by Manage alone."""

    id: int
    root: int
    marker: str
    digest: str


class Remembered(NamedTuple):
    """Another set than Resume named is managed now, perhaps an empty one. `body`: packed digests
    of its folders (identity.pack_folders), in parts."""

    id: int
    last: bool
    body: bytes


class ForgetFolders(NamedTuple):
    """What is directly in these folders ("": the root) is no longer managed; the files stay."""

    root: int
    folders: List[str]


class Sweep(NamedTuple):
    """Look at every managed path again. Answered by Swept; by Fail "root" where the folder as a
    whole is gone or replaced, which is no deletion of what was in it."""

    id: int
    root: int


class LookAhead(NamedTuple):
    """A run in this root is about to be asked for: the sweep that it waits for can begin. Not
    answered. Runs do without it; it saves them the time that a scan takes on the other side."""

    root: int


class Swept(NamedTuple):
    """What differs from the managed set: packed entries with the identity found there now.
    `count` and `digest` (identity.digest) are of the managed set as the agent holds it."""

    id: int
    last: bool
    count: int  # type: ignore[assignment]  # shadows tuple.count, which nobody needs
    digest: str
    body: bytes


class Watch(NamedTuple):
    """Tell of changes in this root by Noticed from now on: of managed paths, and of all in
    `folders`, which add to those of earlier calls. Answered by Watching, with what is in them."""

    id: int
    root: int
    folders: List[str]


class Watching(NamedTuple):
    """`body`: packed entries of the folders, listed after they came under watch. `missing`: why
    changes are not noticed everywhere, so that the sidecar has to look by itself; "" where they
    are. `truncated`: there is more than is listed."""

    id: int
    last: bool
    truncated: bool
    missing: str
    body: bytes


class Noticed(NamedTuple):
    """Somebody else changed these: packed entries with the identity found now. Unasked, after
    Watch. `lost`: changes that nobody can name happened besides; look at everything."""

    root: int
    lost: bool
    body: bytes


class Forget(NamedTuple):
    """These paths are no longer managed; the files stay."""

    id: int
    root: int
    paths: List[str]


class Lookup(NamedTuple):
    """What is at these paths? Answered by Listed, an entry for each."""

    id: int
    root: int
    paths: List[str]


class List_(NamedTuple):
    """What is in the folder `path`? `depth` 1 is its entries only; names in `prune` are told but
    not entered, nor are folders on other file systems. Stops at `limit` entries."""

    id: int
    root: int
    path: str
    depth: int
    limit: int
    prune: List[str]


class Listed(NamedTuple):
    id: int
    last: bool
    truncated: bool
    body: bytes


# --- content ---------------------------------------------------------------------------------


class Digests(NamedTuple):
    """Content digests (delta.content_digest) of files and links, in hex; "" where there is none."""

    id: int
    root: int
    paths: List[str]


class Digested(NamedTuple):
    id: int
    digests: List[str]


class Signature(NamedTuple):
    """The strong checksums (BLAKE2b-128) of a file's blocks of `block` bytes. `anchors`: so many
    of each whole block's first bytes are wanted behind its checksum, by which the block can be
    searched for at any offset."""

    id: int
    root: int
    path: str
    block: int
    anchors: int = 0


class SignaturePart(NamedTuple):
    """Checksums, 16 bytes each, in order, with anchors behind them where they were asked for; cut
    anywhere. `identity` is the file's before and after the read."""

    id: int
    last: bool
    identity: Optional[Identity]
    body: bytes


class Fetch(NamedTuple):
    """Bytes [offset, offset+length) of a file; length -1: to its end. Answered on BULK."""

    id: int
    root: int
    path: str
    offset: int = 0
    length: int = -1


class Cancel(NamedTuple):
    """The answer to request `id`, a Fetch, is not wanted any more; it ends with Fail "cancelled",
    or as it would have."""

    id: int


class FetchPart(NamedTuple):
    """A part of the content (a link's target for a link). `identity`: on the last part, the
    file's, if it was the same before and after the read."""

    id: int
    last: bool
    identity: Optional[Identity]
    body: bytes


# --- changes: answered by Applied or Refused, in any order ------------------------------------


class Expect(NamedTuple):
    """What must be at the path for a change to be made.

    `seq` > 0: what the agent saw after it made our change `seq` of this path. Else `identity`, or
    nothing at all where that is None. `digest`: content that is as good under another identity.
    """

    seq: int
    identity: Optional[Identity]
    digest: str


class Put(NamedTuple):
    """A file's new content, as a delta (delta.py) against what is there, or whole.

    `body` and the `PutPart`s behind it are one stream of operations, compressed as `codec` says
    ("" or "zlib"). `digest`: content digest of the result, hex. `start`: the stream goes on behind
    so many bytes that the agent has, as it told in the last PartialLeaves of this path. `draft`:
    the stream is the one of the last Draft of this path, and `body` is empty.
    """

    seq: int
    root: int
    path: str
    expect: Expect
    size: int
    mtime_ns: int
    executable: bool
    digest: str
    delta: bool
    codec: str
    last: bool
    start: int = 0
    draft: bool = False
    body: bytes = b""


class Draft(NamedTuple):
    """A file's new content as a delta against what is there, `old`, before its digest is known: its
    copies can be made meanwhile. A Put follows as a rule, and nothing is visible without one. Not
    answered: what goes wrong is told to the Put."""

    root: int
    path: str
    old: Identity
    size: int
    executable: bool
    codec: str
    body: bytes


class Partial(NamedTuple):
    """What has arrived of a content whose transfer broke off? Answered by PartialLeaves. The agent
    has it at hand until the next Put of this path."""

    id: int
    root: int
    path: str
    executable: bool


class PartialLeaves(NamedTuple):
    """`body`: the digests of the leaves (delta.LEAF) that are there whole, from the first one on;
    the sender compares them with its own. Empty where there is nothing."""

    id: int
    body: bytes


class PutPart(NamedTuple):
    """More of the stream that `Put` with this `seq` began, on the same lane. `abort`: the file
    changed while it was read, forget it."""

    seq: int
    root: int
    last: bool
    abort: bool
    body: bytes


class MakeLink(NamedTuple):
    """A symbolic link. Its target must not lead out of the root."""

    seq: int
    root: int
    path: str
    expect: Expect
    target: str


class MakeDirectory(NamedTuple):
    seq: int
    root: int
    path: str


class SetMode(NamedTuple):
    """Executable bit and mtime of a file whose content stays."""

    seq: int
    root: int
    path: str
    expect: Expect
    mtime_ns: int
    executable: bool


class Remove(NamedTuple):
    """A file or link goes to the trash; a directory goes only when it is empty."""

    seq: int
    root: int
    path: str
    expect: Expect


class Batch(NamedTuple):
    """Many small changes at once, numbered from `seq` on. `body` and the `BatchPart`s behind it are
    one stream (batch.py) that unfolds to `size` bytes, compressed as `codec` says ("" or "zlib").
    The changes are made in their order; those that are made are answered by Landed, or as any
    other change. Two ends that do not agree on what a batch holds have no link any more."""

    seq: int
    root: int
    changes: int
    size: int
    codec: str
    last: bool
    body: bytes


class BatchPart(NamedTuple):
    """More of the stream that `Batch` with this `seq` began, on the same lane."""

    seq: int
    root: int
    last: bool
    body: bytes


class Landed(NamedTuple):
    """As Applied, for several changes of a batch; `body`: batch.encode_landed."""

    root: int
    body: bytes


class Applied(NamedTuple):
    """Change `seq` is visible; `identity` is what is there now (None: removed)."""

    seq: int
    root: int
    path: str
    identity: Optional[Identity]


class Refused(NamedTuple):
    """Change `seq` was not made and nothing was touched. `code`: "differs" (`have` is there),
    "follows" (an earlier change of this path was refused), "path" (not allowed), "root" (the
    folder as a whole is not what was opened: gone, replaced, taken over by another owner), "disk",
    "aborted", "damaged" (the result is not what was announced), "large" (somebody else's content
    is larger than the trash: see Discard)."""

    seq: int
    root: int
    path: str
    code: str
    why: str
    have: Optional[Identity]


class Durable(NamedTuple):
    """All changes up to `seq` are on the disk, not only visible."""

    root: int
    seq: int


# --- repair ----------------------------------------------------------------------------------


class Trash(NamedTuple):
    """What does the trash hold of `path` and what is below it ("" for all)? Answered by Listed,
    newest first, at most `limit` entries; their paths are places in the trash (core.trashed)."""

    id: int
    root: int
    path: str
    limit: int


class Restore(NamedTuple):
    """Bring back what is at that place in the trash. What is at its path now goes to the trash.
    The managed set stays as it is: what was brought back is nobody's agreement. Goes on SAVES, so
    that it is done behind the changes before it. Answered by Restored. `what`: what was listed at
    that place; another copy that lies there by now is not brought back for it."""

    id: int
    root: int
    where: str
    what: Optional[Identity] = None


class Restored(NamedTuple):
    """`identity`: of what is at `path` now."""

    id: int
    path: str
    identity: Identity


class Describe(NamedTuple):
    """Whose files are these? Answered by Described."""

    id: int
    root: int
    paths: List[str]


class Described(NamedTuple):
    """User names, in the order of the question; "" where nothing is."""

    id: int
    owners: List[str]


class Discard(NamedTuple):
    """The person said: what is at `path`, if it still is that, may go without a copy in the
    trash. Counts once, for this link. Answered by Done."""

    id: int
    root: int
    path: str
    identity: Identity


# --- git -------------------------------------------------------------------------------------


class Git(NamedTuple):
    """What repository is in that root? Answered by GitSeen."""

    id: int
    root: int


class GitSeen(NamedTuple):
    """`version` of git there, "" where there is none. `kind`: "" no repository, "here", "inside"
    (the root is a folder of the one in `why`), "left" (it is not followed; `why` says why not).
    `busy`: why it may not be moved just now. `head`: the commit, "" before the first. `branch`: its
    full name, "" where HEAD is detached. `body`: branches, tags and what was kept, by name, as
    compressed JSON."""

    id: int
    version: str
    kind: str
    why: str = ""
    busy: str = ""
    algorithm: str = ""
    head: str = ""
    branch: str = ""
    body: bytes = b""


class GitMake(NamedTuple):
    """Make a repository in the root, where there is none. Answered by Done."""

    id: int
    root: int
    algorithm: str
    branch: str


class GitPack(NamedTuple):
    """A pack of so many `objects`, in parts; may be thin. Answered by Done when all of it is in the
    root's repository."""

    id: int
    root: int
    objects: int
    last: bool
    body: bytes


class GitMove(NamedTuple):
    """Branch, HEAD and index are to be these (agent/git/follower.py; `body`: staged.pack, in
    parts), where HEAD and the branch still are as was seen. Answered by GitMoved; by Fail
    "git-differs", "git-busy", or "git-behind": the managed set is not the one that was spoken
    of."""

    id: int
    root: int
    branch: str
    head: str
    from_branch: str
    from_head: str
    branch_was: str
    tags: Dict[str, str]
    digest: str
    last: bool
    body: bytes


class GitMoved(NamedTuple):
    """`kept`: the refs that keep what was there before."""

    id: int
    kept: List[str]


class GitWant(NamedTuple):
    """The objects of these commits, less what the other ones need. Answered by GitPart."""

    id: int
    root: int
    wants: List[str]
    haves: List[str]


class GitPart(NamedTuple):
    """More of a thin pack, on BULK."""

    id: int
    last: bool
    body: bytes


# --- jobs ------------------------------------------------------------------------------------


class Run(NamedTuple):
    """Start a job when every change up to `after` was answered, if the managed set is as
    `digest` says and a sweep finds it so (`force`: without looking).

    `job`: an id of the sender's choice, [0-9a-z-]. `cwd`: relative to the root, or absolute.
    `record` is kept with the job as it is. `tail`: send the output as after a Tail from 0, so that
    the first line need not wait for another round trip. A job that is there already is not
    started twice: the answer then is its Started. `log_max`: bytes of its log, 0 for the agent's
    own bound. `launch`: what the command is put behind. `frozen`: its code is in the copy of that
    name (agent/jobs/frozen.py), which `argv` leads to, made now unless it is one that is `kept`;
    `ahead`: a folder of it that Python searches first.
    """

    id: int
    root: int
    job: str
    argv: List[str]
    env: Dict[str, str]
    cwd: str
    after: int
    digest: str
    force: bool
    rows: int
    columns: int
    record: Dict[str, str]
    tail: bool = False
    log_max: int = 0
    launch: List[str] = []
    frozen: str = ""
    kept: bool = False
    ahead: str = ""


class Started(NamedTuple):
    """`warning`: why the job will not outlive the login session there, "" where it will."""

    id: int
    job: str
    pid: int
    warning: str = ""


class RunRefused(NamedTuple):
    """`body`: packed entries of the managed paths that differ; empty where a change was refused,
    which `why` then names."""

    id: int
    job: str
    why: str
    body: bytes


class Without(NamedTuple):
    """The run of that job, if it still waits, need not wait for changes that are not answered yet.
    `record`: what of its record is another thing then. Not answered: the run is."""

    job: str
    root: int
    record: Dict[str, str]


class Tail(NamedTuple):
    """Send the job's output from `offset` on (-1: from its present end) as Output, then Exited.
    Replaces an earlier Tail.
    Answered by Done; a job that runs and can be reached has its Taken sent, too. `bounds`: offsets
    that no Output may span, since somebody has everything before them already."""

    id: int
    job: str
    offset: int
    bounds: List[int] = []


class Untail(NamedTuple):
    job: str


class Hold(NamedTuple):
    """Whoever is shown the job's output has all of it before `offset`, and wants the rest: the log
    must not drop it, and a job that is far ahead waits. -1: nobody wants it any more. Ends with the
    link."""

    job: str
    offset: int


class Output(NamedTuple):
    """`offset`: where in the job's log this part begins; `end`: where the next one does.
    `stream`: 1 stdout, 2 stderr (a terminal has 1 only)."""

    job: str
    offset: int
    end: int
    stream: int
    body: bytes


class Stuck(NamedTuple):
    """The disk takes no more of the job's output, so that the job waits; `why` is "" when it does
    again."""

    job: str
    why: str


class Exited(NamedTuple):
    """`status`: exit status, or minus the signal's number. `why`: where neither is known. `end`:
    the offset behind the last Output of this Tail, -1 from an agent that does not tell. `left`:
    processes of the job that live on."""

    job: str
    status: int
    why: str = ""
    end: int = -1
    left: List[int] = []


class Input(NamedTuple):
    """Bytes for the stdin of a job that is tailed. `offset` counts them from the job's start, so
    that what is sent again after a cut is typed once. `eof`: nothing comes behind it. At most
    INPUT_WINDOW bytes may be sent beyond what Taken told."""

    job: str
    offset: int
    eof: bool
    body: bytes


class Taken(NamedTuple):
    """The job's stdin got all bytes before `offset`, or will: nobody needs to keep them."""

    job: str
    offset: int


class Resize(NamedTuple):
    job: str
    rows: int
    columns: int


class Signal(NamedTuple):
    """To the job's process group, and all but the keys' signals (INT, QUIT, TSTP) to what has left
    it; to what is left of a job that has ended. `name`: "INT", "TERM", "KILL", …"""

    id: int
    job: str
    name: str


class Jobs(NamedTuple):
    """The jobs known on that machine, as JobList. `gpus`: with those that they have in use."""

    id: int
    gpus: bool = False


class JobList(NamedTuple):
    """`body`: JSON, a list of objects, newest first (jobs are described in
    agent/supervisor/records.py)."""

    id: int
    body: bytes


class Keep(NamedTuple):
    """Keep with the job what differed from its commit; `body`: a diff, compressed. Not answered."""

    job: str
    body: bytes


class About(NamedTuple):
    """What is kept of the job besides its record? Answered by Told."""

    id: int
    job: str


class Packages(NamedTuple):
    """What does an interpreter there find? Answered by Told."""

    id: int
    python: str
    version: str


class Told(NamedTuple):
    """`body`: compressed JSON, an object (agent/jobs/annex.py)."""

    id: int
    body: bytes


# --- ports, GPUs -----------------------------------------------------------------------------


class Look(NamedTuple):
    """What this machine has and does: `body` is JSON, the name of a question and what it needs
    (agent/jobs/looks.py). Answered by Told. From the agent, with `id` 0: what it was asked to
    watch has changed."""

    id: int
    body: bytes


# --- processes, connections ------------------------------------------------------------------


class Environment(NamedTuple):
    """Have the environment of a login shell ready in which the lines of `setup` have run
    (agent/environment/login.py). Answered by EnvironmentReady or SetupFailed; no value of it is
    told."""

    id: int
    setup: str


class EnvironmentReady(NamedTuple):
    """`shell`: which was asked; "" where none answered, and jobs get the agent's own variables.
    `problem`: why the person's own did not. `sbatch`: where Slurm's is on PATH, "" inside of an
    allocation (SLURM_JOB_ID is set)."""

    id: int
    shell: str
    problem: str = ""
    sbatch: str = ""


class SetupFailed(NamedTuple):
    """`line`: of the `setup` that failed, from 1; 0 where that is not known. `status`: its exit
    status, -1 for none. `output`: the end of what it said."""

    id: int
    line: int
    status: int
    why: str
    output: str


class Python(NamedTuple):
    """Find an interpreter for the jobs of that root, which get the environment behind `setup` with
    it active from then on. `wanted` is a path, a name on PATH there, "conda:NAME" or "" for a
    search in the stated order (agent/environment/interpreters.py); `names`: conda environments
    that may be the project's."""

    id: int
    root: int
    wanted: str
    setup: str = ""
    names: List[str] = []


class PythonFound(NamedTuple):
    """`path` is absolute; `version` like "3.11.7"; `source` says by which rule it was chosen.
    `path` "": no rule did."""

    id: int
    path: str
    version: str
    source: str


class Survey(NamedTuple):
    """List the interpreters there are, and say which of these `imports` each lacks."""

    id: int
    root: int
    setup: str
    imports: List[str]


class Surveyed(NamedTuple):
    """`body`: JSON, an object with `driver` and `interpreters`
    (agent/environment/interpreters.py)."""

    id: int
    body: bytes


class Install(NamedTuple):
    """Keep a .tar.gz of pure data, unpacked, in the cache of the state folder. Answered by
    Installed at once if it is there; else with an empty path, and InstallPart's must follow."""

    id: int
    name: str
    digest: str
    size: int


class InstallPart(NamedTuple):
    id: int
    last: bool
    body: bytes


class Installed(NamedTuple):
    id: int
    path: str


class Spawn(NamedTuple):
    """Start a child of the agent whose stdin, stdout and stderr are stream `id`. It ends with
    the link. Answered by Connected. `root`: give it the environment of that root's jobs; 0: the
    agent's."""

    id: int
    argv: List[str]
    env: Dict[str, str]
    cwd: str
    root: int = 0


class Connect(NamedTuple):
    """Open a TCP connection to a port, or (`port` 0) to the Unix socket at the path `host`, as
    stream `id`. Answered by Connected."""

    id: int
    host: str
    port: int


class Connected(NamedTuple):
    """`pid`: of a spawned process, else 0."""

    id: int
    pid: int


class Data(NamedTuple):
    """Bytes of a stream. `channel`: 0 to stdin or the socket, 1 from stdout or the socket, 2 from
    stderr."""

    id: int
    channel: int
    body: bytes


class Eof(NamedTuple):
    """Nothing more comes on that channel of the stream."""

    id: int
    channel: int


class Window(NamedTuple):
    """The receiver of a stream consumed `bytes` more; at most STREAM_WINDOW may be on their way."""

    id: int
    bytes: int


class Close(NamedTuple):
    """The stream is over for both. `status`: of a process that ended, as in Exited."""

    id: int
    status: int = 0
    why: str = ""


STREAM_WINDOW = 256 * 1024
"""Bytes of one stream that may be sent beyond what the receiver said it consumed."""


INPUT_WINDOW = 64 * 1024
"""Bytes of a job's stdin that may be on their way: fewer than any socket on the way buffers, so
that handing them on never waits."""


# --- codec -----------------------------------------------------------------------------------

Message = Union[
    Ping, Pong, Ack, Bye, Modules, Done, Fail,
    Open, Opened, Claim, Manage, Resume, Remembered, ForgetFolders, Sweep, LookAhead, Swept,
    Watch, Watching, Noticed, Forget, Lookup, List_, Listed,
    Digests, Digested, Signature, SignaturePart, Fetch, Cancel, FetchPart,
    Put, PutPart, Draft, Partial, PartialLeaves,
    MakeLink, MakeDirectory, SetMode, Remove, Batch, BatchPart,
    Applied, Landed, Refused, Durable,
    Trash, Restore, Restored, Describe, Described, Discard,
    Git, GitSeen, GitMake, GitPack, GitMove, GitMoved, GitWant, GitPart,
    Run, Started, RunRefused, Without, Tail, Untail, Hold, Output, Stuck, Exited, Input, Taken,
    Resize, Signal, Jobs, JobList, Keep, About, Packages, Told, Look,
    Environment, EnvironmentReady, SetupFailed, Python, PythonFound, Survey, Surveyed,
    Install, InstallPart, Installed,
    Spawn, Connect, Connected, Data, Eof, Window, Close,
]  # fmt: skip
TYPES: Tuple[Type[Any], ...] = Message.__args__  # type: ignore[attr-defined]


def encode(message: Message, lane: int = frames.CONTROL) -> frames.Frame:
    """The message as a frame of that lane. Wire bytes: `frames.encode`."""
    values: List[Any] = [type(message).__name__]
    values.extend(message)
    body = values.pop() if type(message)._fields[-1:] == ("body",) else b""
    header = json.dumps(values, separators=(",", ":")).encode("ascii")
    return frames.Frame(lane, header, body)


def decode(frame: frames.Frame) -> Message:
    """The message in a frame, every field checked.

    Raises:
        MessageError: naming the message and the field.
    """
    try:
        values = json.loads(frame.header.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MessageError("a header is no JSON: %s" % error) from None
    if not isinstance(values, list) or not values or not isinstance(values[0], str):
        raise MessageError("a header names no message: %.80r" % (values,))
    name = values.pop(0)
    if name not in _KINDS:
        raise MessageError("unknown message %.40r" % name)
    if name not in _FORMS:
        _FORMS[name] = _form(_KINDS[name])
    kind, checks, required = _FORMS[name]
    has_body = kind._fields[-1:] == ("body",)
    if frame.body and not has_body:
        raise MessageError("%s has no body, but %d bytes came" % (name, len(frame.body)))
    if len(values) < required:
        raise MessageError("%s needs %d fields, %d came" % (name, required, len(values)))
    # More fields than we know come from a newer end and are left aside; fewer, from an older one,
    # have defaults.
    fields = {"body": frame.body} if has_body else {}
    for (field, check), value in zip(checks, values):
        try:
            fields[field] = check(value)
        except (TypeError, ValueError):
            raise MessageError("%s.%s has a wrong value: %.80r" % (name, field, value)) from None
    return kind(**fields)  # type: ignore[no-any-return]


Check = Callable[[Any], Any]


def _checker(hint: Any) -> Check:
    """A function that returns a decoded JSON value as the annotated type, or raises."""
    if hint is int:
        return _number
    if hint in (str, bool, bytes):
        return lambda value: _exactly(hint, value)
    if hasattr(hint, "_fields"):
        checks = [_checker(inner) for inner in get_type_hints(hint).values()]
        return lambda value: hint(*_each(checks, _exactly(list, value)))
    origin = getattr(hint, "__origin__", None)
    arguments: Tuple[Any, ...] = getattr(hint, "__args__", ())
    if origin is list:
        item = _checker(arguments[0])
        return lambda value: [item(one) for one in _exactly(list, value)]
    if origin is dict:
        return lambda value: {
            _exactly(str, key): _exactly(str, one) for key, one in _exactly(dict, value).items()
        }
    if origin is Union and len(arguments) == 2 and arguments[1] is type(None):
        inner = _checker(arguments[0])
        return lambda value: None if value is None else inner(value)
    raise AssertionError("no check for fields of type %r" % (hint,))


def _exactly(kind: Any, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value


def _number(value: Any) -> int:
    """Of 64 bits, as all that we count: others cannot be told to an editor, nor given to a file."""
    if type(value) is not int or not -(1 << 63) <= value < 1 << 64:
        raise TypeError
    return value


def _each(checks: List[Check], values: List[Any]) -> List[Any]:
    if len(checks) != len(values):
        raise ValueError
    return [check(value) for check, value in zip(checks, values)]


def _form(kind: Type[Any]) -> Tuple[Type[Any], List[Tuple[str, Check]], int]:
    hints = get_type_hints(kind)
    fields = [field for field in kind._fields if field != "body"]
    checks = [(field, _checker(hints[field])) for field in fields]
    return kind, checks, sum(field not in kind._field_defaults for field in fields)


_KINDS = {kind.__name__: kind for kind in TYPES}
_FORMS: Dict[str, Tuple[Type[Any], List[Tuple[str, Check]], int]] = {}
"""Made when a message of the type first comes: all of them at once would be a third of an agent's
start."""
