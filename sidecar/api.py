"""The project's own JSON-RPC methods: what editors and the command line say to the hub.

These Structs are the one source of truth; `protocol/` is generated from them. Names on the wire
are camelCase. Rules of change: a field is added with a default, none is renamed, retyped or
removed. `project` is an absolute path in the project; "" means the client's workspace folder.
`host` is a name of the configuration's `hosts`; "" means the project's chosen one.
"""

from __future__ import annotations

from typing import Literal

import msgspec

VERSION = 1
"""Of the control socket and of these methods together; told in every hello."""


class Message(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=False):
    """Base of all parameters, results and parts of them."""


class Place(Message, frozen=True, kw_only=True):
    """Base of requests that concern one project on one host."""

    project: str = ""
    host: str = ""


class Empty(Message, frozen=True, kw_only=True):
    """Nothing to say."""


class Problem(Message, frozen=True, kw_only=True):
    """`data` of an error response (code -32803): why a request failed. `code` is stable, for
    programs; the rest is for people, `fix` beginning with a verb. `command`: what does the next
    step in an editor, an argument of `workspace/executeCommand`; "" where none does."""

    code: str
    what: str
    why: str = ""
    fix: str = ""
    command: str = ""


# --- sync ------------------------------------------------------------------------------------


class SyncParams(Place, frozen=True, kw_only=True):
    """`prefer` decides first contact and conflicts in this one sync; "" asks. `take_over`: the
    folder there, which another sidecar keeps in step by now, is ours again. `yes`: what is more
    than `ask_above` may be sent."""

    prefer: Literal["", "local", "remote", "newer"] = ""
    dry_run: bool = False
    paths: list[str] = []
    take_over: bool = False
    yes: bool = False


class Version(Message, frozen=True, kw_only=True):
    """What is at a path on one side. `changed`: when, ISO 8601 in UTC, by this machine's clock;
    `by`: the user there whose file it is."""

    kind: Literal["nothing", "file", "folder", "link", "other"]
    size: int = 0
    changed: str = ""
    by: str = ""


class PathNote(Message, frozen=True, kw_only=True):
    """A path and what is to be said of it. `kind`: "conflict" (both sides changed it),
    "newer-there" (only the remote did), "kept" (removed here, kept there), "deleted-there" (put
    back), "held" (one of very many removals, or an upload that was called off; waits for a word),
    "waiting" (more than
    `ask_above`, waits for a word), "refused" (the remote could not take it), "unreadable" (it could
    not be read here), "skipped" (never sent), "too-large" (more than `pull_max` there),
    "not-pulled" (it is to come here and cannot). `here` and `there`: what both sides have, where a
    person has to decide."""

    path: str
    kind: str
    text: str
    here: Version | None = None
    there: Version | None = None


class SyncResult(Message, frozen=True, kw_only=True):
    """What one sync did; `bytes_sent` counts frames of this project as they went out. `taken`:
    files and links that came here. `plan`: for a dry run, lines like "push model.py"; `summary`:
    how both sides compare, where it would be their first contact. `skipped`: on a first sync, what
    the rules keep out."""

    sent: int
    removed: int
    bytes_sent: int
    seconds: float
    notes: list[PathNote] = []
    plan: list[str] = []
    taken: int = 0
    summary: str = ""
    skipped: list[Skipped] = []


class PullParams(Place, frozen=True, kw_only=True):
    """`paths`: absolute paths of this machine in the project, or patterns of such ("*", "?", "[]",
    "**"); what they mean on the host is fetched, whatever its size. `prefer` "remote" replaces what
    was changed here too; it goes to the trash here."""

    paths: list[str]
    prefer: Literal["", "remote"] = ""
    dry_run: bool = False


class PullResult(Message, frozen=True, kw_only=True):
    """What one pull did. `notes`: what was asked for and did not come. `plan`: for a dry run,
    lines like "pull runs/best.pt (1.2 GB)"."""

    pulled: int
    bytes_received: int
    seconds: float
    notes: list[PathNote] = []
    plan: list[str] = []


class Synced(Message, frozen=True, kw_only=True):
    """Notification `sidecar/synced`: these paths are visible on the host as they are here."""

    project: str
    host: str
    paths: list[str]
    bytes_sent: int
    milliseconds: float


class Skipped(Message, frozen=True, kw_only=True):
    """What one rule keeps out: files and folders that were counted, and their bytes. `more`: there
    are others that were not, since counting took too long."""

    rule: str
    source: str
    entries: int
    bytes: int
    more: bool = False


# --- repair ----------------------------------------------------------------------------------


class ConflictsParams(Place, frozen=True, kw_only=True):
    """Looks at both sides, and changes nothing."""


class ConflictsResult(Message, frozen=True, kw_only=True):
    notes: list[PathNote]


class DiffParams(Place, frozen=True, kw_only=True):
    """`path`: absolute. `color`: with the terminal's colours, where git is there to make them."""

    path: str
    color: bool = False


class DiffResult(Message, frozen=True, kw_only=True):
    """`text`: a unified diff from what is here to what is there, "" where both are equal; `binary`:
    there is none, since one of them is no text. `file`: a copy of theirs, and `patch`: the diff, as
    files that stay for a while; "" where there is none. `why`: why they were not compared."""

    path: str
    text: str
    binary: bool
    here: Version
    there: Version
    file: str = ""
    patch: str = ""
    why: str = ""


class ResolveParams(Place, frozen=True, kw_only=True):
    """`paths`: absolute, of files, of folders with what is below them, or with `*`, `?`, `[…]`;
    `all`: every conflict. `keep` "both": theirs comes beside mine, under another name."""

    keep: Literal["local", "remote", "both"]
    paths: list[str] = []
    all: bool = False
    dry_run: bool = False


class ResolveResult(Message, frozen=True, kw_only=True):
    """`done`: what was settled (or would be), `text` saying how; `left`: what was not, and why."""

    done: list[PathNote]
    left: list[PathNote]


class GitParams(Place, frozen=True, kw_only=True):
    """`action` "status" only looks; "push" brings branch, HEAD and index there up to here, and
    makes the repository where there is none; "repair" does so too where commits were made there,
    which are brought here and kept there. `yes`: whatever there is to send."""

    action: Literal["status", "push", "repair"] = "status"
    yes: bool = False


class GitResult(Message, frozen=True, kw_only=True):
    """`state`: "same"; "waits" (it is behind, and `text` says why); "apart" (commits there are not
    here); "absent" (no repository there); "left" (one of both is left alone); "none" (no repository
    here, or no git there). `head` and `branch`: of the one there. `kept`: refs there that keep what
    was before. `fetched`: the ref here of what was committed there."""

    host: str
    state: Literal["none", "left", "absent", "waits", "apart", "same"]
    text: str
    fix: str = ""
    head: str = ""
    branch: str = ""
    kept: list[str] = []
    fetched: str = ""
    notes: list[str] = []


class TrashParams(Place, frozen=True, kw_only=True):
    """`paths`: absolute; only copies of these and of what is below them. Newest first. `side`: only
    what lies there; "local" needs no connection."""

    paths: list[str] = []
    limit: int = 1000
    side: Literal["", "local", "remote"] = ""


class Copy(Message, frozen=True, kw_only=True):
    """Something that a sync overwrote or removed, and that can be brought back. `when`: ISO 8601
    in UTC. `side`: where it was, and lies."""

    id: str
    side: Literal["local", "remote"]
    path: str
    kind: Literal["file", "link"]
    size: int
    when: str
    why: str


class TrashResult(Message, frozen=True, kw_only=True):
    """`more`: there are others that are not listed. `unreachable`: why only what lies here is
    told; "" where all is."""

    copies: list[Copy]
    more: bool = False
    unreachable: str = ""


class UndoParams(Place, frozen=True, kw_only=True):
    """Brings copies back, by `ids` or their beginnings, and the newest of each of `paths`
    (absolute). What they replace goes to the trash of that side."""

    ids: list[str] = []
    paths: list[str] = []
    side: Literal["", "local", "remote"] = ""
    dry_run: bool = False


class UndoResult(Message, frozen=True, kw_only=True):
    """`notes`: what is to be decided of these paths from here on. `unreachable`: why what is back
    here goes there only with the next connection; "" where it went."""

    restored: list[Copy]
    notes: list[PathNote] = []
    unreachable: str = ""


class WhyParams(Place, frozen=True, kw_only=True):
    """`path`: absolute; nothing needs to be there."""

    path: str


class WhyResult(Message, frozen=True, kw_only=True):
    """Why a path is synced or not. `rule` and `source`: what decided ("*.log", ".gitignore:3"), ""
    where no rule did; `managed`: both sides agreed on it once; `next`: what the next sync would
    do; `note`: what is to be decided about it; `pulled`: the pattern by which it comes from there.
    """

    path: str
    here: Version
    synced: bool
    rule: str
    source: str
    managed: bool
    next: str
    note: PathNote | None = None
    pulled: str = ""


# --- cleaning --------------------------------------------------------------------------------


class CleanParams(Place, frozen=True, kw_only=True):
    """Lists all that is kept for the project on that host, then removes it, once the person said
    yes or `yes` is set. `dry_run` only lists. `all`: also what others started on this account.
    `seen`: of an earlier answer, so that what goes is what was listed then."""

    all: bool = False
    dry_run: bool = False
    yes: bool = False
    seen: str = ""


class Kept(Message, frozen=True, kw_only=True):
    """Something that is kept. `kind`: "job" (its record and log), "cache" (what was sent there
    once, as debugpy), "trash", "frozen" (code that a run began with), "refs" (of git, which keep
    commits), "folder" (what else is in `.sidecar/` there), "state" (what is known here of both
    sides). `place`: the path on its side. `only`: it may hold the only copy of something. `stays`:
    why it is not removed, "" where it is."""

    side: Literal["local", "remote"]
    kind: Literal["job", "cache", "trash", "frozen", "refs", "folder", "state"]
    name: str
    place: str
    files: int
    bytes: int
    only: bool = False
    stays: str = ""
    text: str = ""


class CleanResult(Message, frozen=True, kw_only=True):
    """`folder`: the project's there, and whether it `exists`. `kept`: all that was found.
    `removed`: whether what does not stay was removed, but for `left`, each of which says why in
    `stays`. `seen`: names this list."""

    host: str
    folder: str
    exists: bool
    kept: list[Kept]
    removed: bool = False
    left: list[Kept] = []
    seen: str = ""


# --- jobs ------------------------------------------------------------------------------------


class RunParams(Place, frozen=True, kw_only=True):
    """`target`: a `.py` file (absolute, or relative to `cwd`), a test of one as pytest names it
    ("tests/test_x.py::test_y"), a program's name, or a module's name where `module` is set. `cwd`:
    absolute, here; "" is the project's root. `as_is`: run what is there, whatever differs.
    `terminal`: give it a PTY of that size. `dirty`: paths with unsaved changes, so that the answer
    can say so. `first` and `last`: only these lines of the file, from 1, as a cell; as the client
    shows them where it has the file open, else as they are saved. `recall`: without `args`, those
    that the target was last run with so; `args` are remembered, and ["--"] forgets them.
    `as_shell`: a person's shell, which may run on a login node, too. `frozen`: run from a copy of
    the code, which later saves do not change; null as `hosts.X.freeze` says. `gpus`: give it so
    many GPUs that are free, by CUDA_VISIBLE_DEVICES; `busy`: the freest ones, be they in use."""

    target: str
    args: list[str] = []
    module: bool = False
    cwd: str = ""
    env: dict[str, str] = {}
    as_is: bool = False
    detach: bool = False
    terminal: bool = False
    rows: int = 24
    columns: int = 80
    dirty: list[str] = []
    first: int = 0
    last: int = 0
    recall: bool = False
    as_shell: bool = False
    frozen: bool | None = None
    gpus: int = 0
    busy: bool = False


class Folder(Message, frozen=True, kw_only=True):
    """The same folder on both sides, by one of its names on each."""

    here: str
    there: str


class RunResult(Message, frozen=True, kw_only=True):
    """The job runs. Its output follows as `sidecar/output`, unless `detach` was asked for.
    `headline`: one line that says where and with what it runs. `before`: what runs there from
    earlier sessions, for the first run of one. `warning`: why the job will not outlive the login
    session there. `args`: that it runs with, given or recalled. `folders`: what the program calls
    the project's files; `cwd`: where it runs there; `links`: the person wants places in its output
    to lead to the files here.
    `differences`: of `sidecar/rerun`, in lines: how code and environment differ from the job's."""

    job: str
    host: str
    pid: int
    interpreter: str
    headline: str
    args: list[str] = []
    before: str = ""
    warning: str = ""
    folders: list[Folder] = []
    cwd: str = ""
    links: bool = True
    differences: list[str] = []


class ArgumentsParams(Place, frozen=True, kw_only=True):
    """What `recall` of RunParams knows of a target; `args` sets it, [] forgets it."""

    target: str
    module: bool = False
    cwd: str = ""
    args: list[str] | None = None


class ArgumentsResult(Message, frozen=True, kw_only=True):
    """`target`: relative to the project's root."""

    target: str
    args: list[str]


class JobParams(Place, frozen=True, kw_only=True):
    """`job`: an id or a unique prefix of one; "" is the newest."""

    job: str = ""


class InputParams(JobParams, frozen=True, kw_only=True):
    """`data` in `encoding` ("utf-8" or "base64"). `eof`: nothing comes behind it."""

    data: str = ""
    encoding: Literal["utf-8", "base64"] = "utf-8"
    eof: bool = False


class ResizeParams(JobParams, frozen=True, kw_only=True):
    rows: int
    columns: int


class SignalParams(JobParams, frozen=True, kw_only=True):
    """`signal`: "INT", "TERM", "KILL", …, or "stop": INT, then TERM, then KILL. `all`: also to what
    others started there on this account."""

    signal: str = "stop"
    all: bool = False


class AttachParams(JobParams, frozen=True, kw_only=True):
    """Output comes from `offset` of the job's log on, then as it appears."""

    offset: int = 0
    follow: bool = True


class AttachResult(Message, frozen=True, kw_only=True):
    """`terminal`: the job has one, so what is typed should go there key by key. `folders`, `cwd`
    and `links` as in RunResult."""

    job: str
    host: str
    terminal: bool = False
    folders: list[Folder] = []
    cwd: str = ""
    links: bool = True


class Output(Message, frozen=True, kw_only=True):
    """Notification `sidecar/output`. JSON carries no bytes: `data` is text where all of it is
    UTF-8, else base64. `end` is the offset to attach from, to go on behind this part."""

    job: str
    offset: int
    end: int
    stream: Literal["stdout", "stderr"]
    data: str
    encoding: Literal["utf-8", "base64"]


class Frame(Message, frozen=True, kw_only=True):
    """One line of a traceback. `path` is local where the file is the project's, else remote."""

    path: str
    line: int
    name: str
    local: bool


class Failure(Message, frozen=True, kw_only=True):
    """A traceback in a failed job's output, or a failed test. `error`: the line that names the
    exception; `message`: all of what it says. `kind`: "" for what ended the program, or the test
    that pytest calls `test`; "chained" where another one followed from it; "inside" for a part of
    an exception group; "ignored" where Python said so."""

    error: str
    message: str = ""
    frames: list[Frame] = []
    kind: Literal["", "chained", "inside", "ignored"] = ""
    test: str = ""


class Exited(Message, frozen=True, kw_only=True):
    """Notification `sidecar/exited`. `status`: exit status, -1 where a signal or the unknown ended
    it; `signal`: its name ("KILL") or "". `error`: last line of an uncaught traceback; `frames`:
    outermost call first. `left`: pids there of what it started and what lives on. `failures`: all
    tracebacks, that one too, in the order of the output. `advice`: what the failure has to do with
    what is not synced, in a line for people; "" for nothing."""

    job: str
    host: str
    status: int
    signal: str = ""
    why: str = ""
    error: str = ""
    frames: list[Frame] = []
    left: list[int] = []
    failures: list[Failure] = []
    advice: str = ""


class Job(Message, frozen=True, kw_only=True):
    """`state`: "running", "exited", "lost" (the machine was restarted, or its supervisor killed),
    "unknown" (a newer sidecar keeps it; `why` says so). `machine`: its name by itself, where `host`
    is the configuration's; `elsewhere`: it runs there, and the host's name leads to another one
    now, from which it can be looked at and not be signalled. `peak_memory`: bytes, of the largest
    process; `dropped`: bytes of output that its log does not have any more; `left`: pids of what
    lives on behind its end. `mine`: this laptop started it; `owner`: who did. `gpus`: numbers of
    those that it has in use, where they were asked for. `tree`: the content digest of the
    managed files that it ran on. `as_is`: it ran on what was there, which was not as it was here;
    `differing`: which files, where that is known. `frozen`: it runs
    from a copy of the code of its own. `changed`: how many managed files are
    not what they were at its start, where it runs and is not frozen. `without`: large
    files that were still on their way when it began."""

    id: str
    host: str
    command: str
    state: Literal["running", "exited", "lost", "unknown"]
    started: str
    exit_status: int | None = None
    signal: str = ""
    pid: int = 0
    tree: str = ""
    commit: str = ""
    dirty: int = 0
    interpreter: str = ""
    terminal: bool = False
    machine: str = ""
    elsewhere: bool = False
    ended: str = ""
    why: str = ""
    peak_memory: int = 0
    dropped: int = 0
    left: list[int] = []
    mine: bool = True
    owner: str = ""
    gpus: list[int] = []
    as_is: bool = False
    differing: list[str] = []
    frozen: bool = False
    changed: int | None = None
    without: list[str] = []


class JobsParams(Place, frozen=True, kw_only=True):
    """`all`: also what others started there on this account. `gpus`: look which ones the jobs that
    run have in use; may take a second."""

    all: bool = False
    gpus: bool = False


class JobDetails(Message, frozen=True, kw_only=True):
    """What is kept of one job. `cwd`: there. `variables`: names of what the run set; values are
    kept nowhere. `packages`: of its interpreter, with versions; `cards`: GPUs that it could see, as
    "0 NVIDIA H200"; `diff`: a patch from `job.commit` to what ran. `changed`: files that are not
    what they were at its start, null where nobody knows."""

    job: Job
    cwd: str = ""
    variables: list[str] = []
    packages: dict[str, str] = {}
    cards: list[str] = []
    diff: str = ""
    changed: list[str] | None = None


class RerunParams(JobParams, frozen=True, kw_only=True):
    """Runs what a job ran, with today's code, or with the job's own where `frozen`. `env`: values
    for the variables that were given with the run; the rest as in RunParams."""

    frozen: bool = False
    env: dict[str, str] = {}
    as_is: bool = False
    detach: bool = False
    terminal: bool = False
    rows: int = 24
    columns: int = 80
    dirty: list[str] = []


class JobsResult(Message, frozen=True, kw_only=True):
    jobs: list[Job]


# --- interpreters ----------------------------------------------------------------------------


class InterpretersParams(Place, frozen=True, kw_only=True):
    """Looks for the Pythons that are there, now."""


class Interpreter(Message, frozen=True, kw_only=True):
    """`name`: what `sidecar/selectInterpreter` takes. `kind`: "venv", "conda", "uv", "pyenv",
    "poetry", "login" (`python3` of a login shell) or "system". `packages`: well-known ones with
    their versions. `cuda`: the version that they were built for, "" for none. `lacks`: what the
    project imports and it has not. `problem`: why it cannot run anything."""

    name: str
    path: str
    kind: str
    version: str = ""
    packages: dict[str, str] = {}
    cuda: str = ""
    lacks: list[str] = []
    in_use: bool = False
    problem: str = ""


class InterpretersResult(Message, frozen=True, kw_only=True):
    """`driver`: NVIDIA's there, its version, "there" where that cannot be told, or "". `source`:
    why the one in use is. `problem`: why none is."""

    host: str
    interpreters: list[Interpreter]
    driver: str = ""
    source: str = ""
    problem: str = ""


class SelectInterpreterParams(Place, frozen=True, kw_only=True):
    """`name`: as listed, a path there, or "conda:NAME"; "" asks the person. It is written to
    `sidecar.local.toml`."""

    name: str = ""


class SelectInterpreterResult(Message, frozen=True, kw_only=True):
    """`python`: as the configuration has it now."""

    host: str
    python: str
    path: str
    version: str


# --- debug -----------------------------------------------------------------------------------


class DebugParams(Place, frozen=True, kw_only=True):
    """As RunParams, under debugpy. The debuggee starts when a client connects and launches."""

    target: str
    args: list[str] = []
    module: bool = False
    cwd: str = ""
    env: dict[str, str] = {}
    as_is: bool = False
    stop_on_entry: bool = False
    just_my_code: bool = True
    recall: bool = False
    strict: bool = False
    """Refuse a client that does not give the `configuration` as it was."""
    stop_on_rank: str = ""
    """Of a distributed launch's processes debug this one only."""


class DebugFailureParams(Place, frozen=True, kw_only=True):
    """What a failed job ran, once more, with today's code under debugpy: it stops where an
    exception leaves the program. `job`: "" is the last one of this project that failed. `env`:
    values for the variables that were given with it; `as_is` and `strict` as in DebugParams."""

    job: str = ""
    env: dict[str, str] = {}
    as_is: bool = False
    strict: bool = False


class DebugResult(Message, frozen=True, kw_only=True):
    """A DAP server for one client, here. Attach to it; it launches what was asked for.
    `configuration`: what to give a DAP client as its attach configuration."""

    host: str
    port: int
    configuration: dict[str, str | int | bool]


class DebugEnded(Message, frozen=True, kw_only=True):
    """Notification `sidecar/debugEnded`: nothing listens on that port any more. `why` is empty
    where the debuggee or its client ended it."""

    port: int
    why: str = ""


# --- ports -----------------------------------------------------------------------------------


class Port(Message, frozen=True, kw_only=True):
    """A way to a port there, or one that there could be. `state`: "open" (`here` listens),
    "offered" (a job of ours listens there, and nobody here yet), "known" (the configuration names
    it; nothing is open yet), "held" (the person's own ssh has it), "failed" (`text` says why), or
    "closed" (in `sidecar/forwarded` alone: it is gone from the list).

    `here` and `there`: "127.0.0.1:6006", or a socket's path; `here` is "" where nothing listens.
    `port` and `remote_port`: their numbers, 0 of a socket. `wanted`: the number that was asked for
    here and is taken, 0 where it was to be had. `name`: what listens there ("TensorBoard"), as far
    as its command line tells. `url`: what a browser can open, "" for what is no page. `source`:
    "ssh" (a LocalForward), "settings", "asked", "job" (found with a running job) or
    "service" (a server that we started). `text`: one line for people. `connections`: that
    are open now."""

    state: Literal["open", "offered", "known", "held", "failed", "closed"]
    here: str
    there: str
    port: int = 0
    remote_port: int = 0
    wanted: int = 0
    name: str = ""
    url: str = ""
    source: Literal["ssh", "settings", "asked", "job", "service"] = "asked"
    job: str = ""
    command: str = ""
    text: str = ""
    connections: int = 0


class ForwardParams(Place, frozen=True, kw_only=True):
    """Opens ways to ports there, and answers with them. `ports`: as `forward` of a host's settings
    has them: "6006", "9000:127.0.0.1:9001", "9000:/run/there.sock", "/tmp/here.sock:9001"; none:
    all that the settings and the LocalForwards of the ssh configuration name. `close`: ends them
    instead, whoever opened them; a port's number there or here will do. `address`: where to listen
    besides the loopback ("0.0.0.0"): then other machines get in too.

    What a client opened is closed when the client goes, unless somebody else has it too."""

    ports: list[str] = []
    close: bool = False
    address: str = ""


class ForwardResult(Message, frozen=True, kw_only=True):
    host: str
    ports: list[Port]


class PortsParams(Place, frozen=True, kw_only=True):
    """`look`: and find out where running jobs listen, which needs a connection; without it nothing
    is dialled."""

    look: bool = True


class PortsResult(Message, frozen=True, kw_only=True):
    """All of the host, in the order of their numbers there; of jobs all that run on that
    account."""

    host: str
    ports: list[Port]


class Forwarded(Message, frozen=True, kw_only=True):
    """Notification `sidecar/forwarded`: a port of the host was opened, offered, closed, or is
    otherwise not what was told before. The one with the same `there` is replaced by it; "closed"
    removes it."""

    project: str
    host: str
    port: Port


class ServiceParams(Place, frozen=True, kw_only=True):
    """Starts a server there as a job, with the project's interpreter, in `cwd` (absolute, here; ""
    is the project's root), and opens a way to it that nobody else there can go. One that was
    started so before, with the same arguments, and runs is shown instead. `args`: its own; of
    TensorBoard, a first one without a dash is the folder of the logs. `port`: the number wanted
    here, 0 for the usual one. `detach`: no output is to follow."""

    service: Literal["tensorboard", "jupyter"]
    args: list[str] = []
    cwd: str = ""
    port: int = 0
    detach: bool = False


class ServiceResult(Message, frozen=True, kw_only=True):
    """`url` leads there, with the token where the server asks for one. `new`: it was started by
    this, and `run` says how."""

    url: str
    port: Port
    job: str
    new: bool = True
    run: RunResult | None = None


# --- GPUs ------------------------------------------------------------------------------------


class GpusParams(Place, frozen=True, kw_only=True):
    """Looks now, which takes up to some seconds."""


class GpuProcess(Message, frozen=True, kw_only=True):
    """`user`, `command`: as far as they can be seen there. `memory`: bytes on the GPU, -1 where the
    driver does not tell. `job`: of ours that it belongs to. `slice`: of a GPU in MIG mode, the
    GPU instance's number, -1 for none."""

    pid: int
    user: str = ""
    command: str = ""
    memory: int = -1
    job: str = ""
    slice: int = -1


class Gpu(Message, frozen=True, kw_only=True):
    """A GPU, or a slice of one (`slice`: "1g.10gb", `parent`: the index of the GPU that it is a
    part of). `uuid`: what CUDA_VISIBLE_DEVICES takes. `utilization`: percent, -1 where it is not
    told, as of slices. Memory in bytes, -1 where it is not told. `claimed`: the job of ours that it
    was given to. `free`: `--gpus` may choose it; `text`: why not."""

    index: int
    uuid: str
    name: str
    utilization: int = -1
    memory_used: int = -1
    memory_total: int = -1
    processes: list[GpuProcess] = []
    slice: str = ""
    parent: int = -1
    claimed: str = ""
    free: bool = True
    text: str = ""


class Machine(Message, frozen=True, kw_only=True):
    """`cpu_percent`: of all cores, over the last moment, -1 where it is not known; `load`: the
    average of one minute; memory in bytes, `memory_available` as the kernel counts it."""

    name: str
    cpus: int
    cpu_percent: int = -1
    load: float = 0.0
    memory_total: int = 0
    memory_available: int = 0


class GpusResult(Message, frozen=True, kw_only=True):
    """`problem`: why no GPU is told, where there is a driver or a tool; "" where there is none at
    all."""

    host: str
    machine: Machine
    gpus: list[Gpu] = []
    driver: str = ""
    problem: str = ""


# --- state -----------------------------------------------------------------------------------


class Transfer(Message, frozen=True, kw_only=True):
    """A large file on its way: `done` of its `total` bytes are dealt with, sent or found there."""

    path: str
    done: int
    total: int


class Health(Message, frozen=True, kw_only=True):
    """A project's state on one host. `state`: "idle" (not dialled), "connecting", "ready",
    "syncing", "question" (waits for a decision), "disconnected". `text` says it for people.
    `transfers`: large files that are being sent, told a few times a second. `in_use`: where the
    project has several hosts, this is the one that saves and runs go to. `load`: how busy the
    machine and its GPUs are, in a few words; looked at while somebody asks, or a job is shown."""

    project: str
    host: str
    state: Literal["idle", "connecting", "ready", "syncing", "question", "disconnected"]
    text: str
    transport: str = ""
    round_trip_ms: float = 0.0
    queued: int = 0
    files: int = 0
    conflicts: int = 0
    last_sync: str = ""
    fix: str = ""
    command: str = ""
    transfers: list[Transfer] = []
    in_use: bool = True
    load: str = ""


class HostsParams(Place, frozen=True, kw_only=True):
    """Dials nothing."""


class HostState(Message, frozen=True, kw_only=True):
    """One host of a project. `in_use`: saves and runs go there; `state` and what follows it as in
    Health."""

    name: str
    ssh: str
    path: str
    in_use: bool
    state: Literal["idle", "connecting", "ready", "syncing", "question", "disconnected"]
    text: str
    fix: str = ""
    round_trip_ms: float = 0.0
    files: int = 0
    queued: int = 0
    conflicts: int = 0
    last_sync: str = ""


class HostsResult(Message, frozen=True, kw_only=True):
    project: str
    hosts: list[HostState]


class SelectHostParams(Place, frozen=True, kw_only=True):
    """Saves and runs go to `host` from here on; "" asks. It is written to `sidecar.local.toml`, and
    all clients of the project follow. `connect`: and is dialled now."""

    connect: bool = False


class SelectHostResult(Message, frozen=True, kw_only=True):
    host: str


class SshHostsParams(Message, frozen=True, kw_only=True):
    """Dials nothing."""


class SshHostsResult(Message, frozen=True, kw_only=True):
    """`hosts`: names of the person's own ssh configuration, without patterns."""

    hosts: list[str]


class InitParams(Place, frozen=True, kw_only=True):
    """Writes a host into `sidecar.local.toml` of the project that `project` is in, or of that very
    folder. `ssh`: what one would type after `ssh`, "" asks the person; `host`: its name in the
    configuration, "" for the machine's own; `path`: the folder there, "" for `~` and the project's
    name; `python`: an interpreter there. `dry_run`: only say what would be written."""

    ssh: str = ""
    path: str = ""
    python: str = ""
    dry_run: bool = False


class InitResult(Message, frozen=True, kw_only=True):
    """`file`: what was written. Nothing was sent: `sidecar/sync` does, and asks first."""

    project: str
    host: str
    ssh: str
    path: str
    file: str


class StatusParams(Place, frozen=True, kw_only=True):
    """All projects that the hub holds where `project` is ""; else that one, without dialling.
    `skipped`: also say what the rules keep out of it, which takes up to some seconds. `load`: look
    how busy the machines are that are connected, for at most a second."""

    skipped: bool = False
    load: bool = False


class StatusResult(Message, frozen=True, kw_only=True):
    """`notes`: conflicts and what else needs a person, for the project asked about."""

    hub_pid: int
    version: str
    sessions: list[Health]
    notes: list[PathNote] = []
    skipped: list[Skipped] = []


class DoctorParams(Place, frozen=True, kw_only=True):
    """Walks the whole way to a Python there. Changes nothing; dials, and may ask what a sign-in
    asks."""


class Finding(Message, frozen=True, kw_only=True):
    """One step of that way, also told at once as notification `sidecar/finding` to who asked.
    `fix`: what to do where it is not "ok"."""

    state: Literal["ok", "note", "failed"]
    step: str
    text: str
    fix: str = ""


class DoctorResult(Message, frozen=True, kw_only=True):
    """The way ends behind the first finding that "failed" and leads nowhere."""

    findings: list[Finding]


class AgentSourceParams(Message, frozen=True, kw_only=True):
    """Dials nothing."""


class AgentModule(Message, frozen=True, kw_only=True):
    """A module of the agent, its text as it is sent: without comments and docstrings, every line
    where it is in the package."""

    name: str
    text: str


class AgentSourceResult(Message, frozen=True, kw_only=True):
    """All that is sent to a remote to start an agent. `digest`: of the whole, in hexadecimal."""

    digest: str
    modules: list[AgentModule]


class TrustParams(Place, frozen=True, kw_only=True):
    """`accept` false: only say what would be trusted, or with `ask`, ask the person. `settings`:
    those that the person was shown (`asks` of an earlier answer); only they are trusted, so that
    what a file says by now is not. Empty: all that wait."""

    accept: bool = False
    ask: bool = False
    settings: list[str] = []


class TrustResult(Message, frozen=True, kw_only=True):
    """`asks`: the settings of the shared file that count only after trust, as "key = value"."""

    trusted: bool
    asks: list[str]


# --- asked of the client ---------------------------------------------------------------------


class AskSecretParams(Message, frozen=True, kw_only=True):
    """Request `sidecar/askSecret` to the client. The answer's `value` is None where the person
    dismissed it."""

    host: str
    prompt: str
    echo: bool = False
    problem: str = ""


class AskSecretResult(Message, frozen=True, kw_only=True):
    value: str | None = None


# --- the hello of the control socket ---------------------------------------------------------


class Hello(Message, frozen=True, kw_only=True):
    """First line that a face sends on the control socket, as JSON, ended by a newline. `face`:
    "lsp" (the rest is LSP), "rpc" (the rest is JSON-RPC with these methods) or "dap" (the rest is
    the Debug Adapter Protocol). `pid`: of the process whose end ends the face. `environ`: the
    face's environment, from which configuration and the variables that jobs are to get are taken;
    it stays in memory. Face "end" asks the hub to end, which it does unless others use it; every
    later hub must understand this line."""

    version: int
    face: Literal["lsp", "rpc", "dap", "end"]
    client: str
    pid: int = 0
    cwd: str = ""
    environ: dict[str, str] = {}


class Welcome(Message, frozen=True, kw_only=True):
    """The hub's answer, in the same form. `problem`: why it will not talk, empty if it will."""

    version: int
    sidecar: str
    pid: int
    problem: str = ""


REQUESTS: dict[str, tuple[type[Message], type[Message]]] = {
    "sidecar/run": (RunParams, RunResult),
    "sidecar/arguments": (ArgumentsParams, ArgumentsResult),
    "sidecar/input": (InputParams, Empty),
    "sidecar/resize": (ResizeParams, Empty),
    "sidecar/signal": (SignalParams, Empty),
    "sidecar/rerun": (RerunParams, RunResult),
    "sidecar/job": (JobParams, JobDetails),
    "sidecar/jobs": (JobsParams, JobsResult),
    "sidecar/attach": (AttachParams, AttachResult),
    "sidecar/interpreters": (InterpretersParams, InterpretersResult),
    "sidecar/selectInterpreter": (SelectInterpreterParams, SelectInterpreterResult),
    "sidecar/quit": (Place, Empty),
    "sidecar/debug": (DebugParams, DebugResult),
    "sidecar/debugFailure": (DebugFailureParams, DebugResult),
    "sidecar/sync": (SyncParams, SyncResult),
    "sidecar/pull": (PullParams, PullResult),
    "sidecar/status": (StatusParams, StatusResult),
    "sidecar/hosts": (HostsParams, HostsResult),
    "sidecar/selectHost": (SelectHostParams, SelectHostResult),
    "sidecar/sshHosts": (SshHostsParams, SshHostsResult),
    "sidecar/init": (InitParams, InitResult),
    "sidecar/trust": (TrustParams, TrustResult),
    "sidecar/doctor": (DoctorParams, DoctorResult),
    "sidecar/agentSource": (AgentSourceParams, AgentSourceResult),
    "sidecar/conflicts": (ConflictsParams, ConflictsResult),
    "sidecar/diff": (DiffParams, DiffResult),
    "sidecar/resolve": (ResolveParams, ResolveResult),
    "sidecar/trash": (TrashParams, TrashResult),
    "sidecar/undo": (UndoParams, UndoResult),
    "sidecar/why": (WhyParams, WhyResult),
    "sidecar/git": (GitParams, GitResult),
    "sidecar/forward": (ForwardParams, ForwardResult),
    "sidecar/ports": (PortsParams, PortsResult),
    "sidecar/service": (ServiceParams, ServiceResult),
    "sidecar/gpus": (GpusParams, GpusResult),
    "sidecar/clean": (CleanParams, CleanResult),
}
"""Client to hub: parameters and result of each request."""

NOTIFICATIONS: dict[str, type[Message]] = {
    "sidecar/output": Output,
    "sidecar/exited": Exited,
    "sidecar/synced": Synced,
    "sidecar/didChangeStatus": Health,
    "sidecar/debugEnded": DebugEnded,
    "sidecar/forwarded": Forwarded,
    "sidecar/finding": Finding,
}
"""Hub to client."""

CLIENT_REQUESTS: dict[str, tuple[type[Message], type[Message]]] = {
    "sidecar/askSecret": (AskSecretParams, AskSecretResult),
}
"""Hub to client, answered."""
