"""`sidecar COMMAND …`: reads the arguments, hands over to the command, turns failures into words.

Each command's module is imported when it is called, so that none pays for another. Exit status:
the job's own for `run`; 125 where `run`, `shell`, `attach` or `debug` fail themselves or nobody
can be asked; else 0, 1 for a failure, 2 for a wrong command.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Protocol

import sidecar
from sidecar.cli import (
    light,  # noqa: F401 - before all that imports msgspec
    terminal,
)
from sidecar.errors import SidecarError, UsageError

OWN_FAILURE = 125
"""As docker's: the program was not at fault. `run` never started, or its end is not known."""

_RUNS_A_JOB = frozenset({"run", "rerun", "shell", "attach", "debug", "tensorboard", "jupyter"})


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point. Returns the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    whole = parser(given[0] if given else "")
    try:
        _know_command(whole, given)
    except UsageError as error:
        terminal.complain(error)
        return 2
    options = whole.parse_args(given)
    failure = OWN_FAILURE if options.command in _RUNS_A_JOB else 1
    try:
        module, _, function = options.call.partition(":")
        command = getattr(importlib.import_module(f"sidecar.cli.{module}"), function)
        status: int = command(options)
        sys.stdout.flush()
        return status
    except SidecarError as error:
        terminal.complain(error)
        if error.code == "unanswered":
            return OWN_FAILURE
        if isinstance(error, UsageError):
            return OWN_FAILURE if failure == OWN_FAILURE else 2
        return failure
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Who read our output has gone. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141


class _Takes(Protocol):
    """What arguments are added to."""

    def add_argument(self, *names: str, **options: Any) -> object: ...


class _Unasked:
    """In place of a command's parser where another command was given."""

    def add_argument(self, *names: str, **options: Any) -> None:
        pass


def _what_runs(parser: _Takes, **optional: Any) -> None:
    parser.add_argument("-m", "--module", action="store_true", help="TARGET is a module's name")
    parser.add_argument("--as-is", action="store_true", help="whatever differs there")
    parser.add_argument("-e", "--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="a .py file, a test (FILE.py::TEST), or a program there",
        **optional,
    )
    parser.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGS")


def _know_command(whole: argparse.ArgumentParser, given: Sequence[str]) -> None:
    """Raises UsageError for a command that there is not, with the one that was likely meant."""
    commands = next(
        action.choices
        for action in whole._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    if not given or given[0].startswith("-") or given[0] in commands:
        return
    import difflib

    near = difflib.get_close_matches(given[0], commands, n=1)
    raise UsageError(
        f"There is no command {given[0]!r}",
        "",
        f"did you mean `sidecar {near[0]}`?"
        if near
        else "see `sidecar --help` for those there are",
    )


def parser(only: str = "") -> argparse.ArgumentParser:
    """Reads all commands, or, where there is one of that name, it alone: all of them take 15 ms,
    which whoever waits for `status` or the first output of a `run` need not pay for."""
    whole = argparse.ArgumentParser(
        prog="sidecar",
        description="Keeps a project here and its copy on a remote machine the same, and runs "
        "and debugs it there.",
        epilog="`sidecar COMMAND --help` says more.",
    )
    whole.add_argument("--version", action="version", version=f"sidecar {sidecar.__version__}")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)

    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("-H", "--host", default="", help="a host of the configuration")
    place.add_argument("--yes", action="store_true", help="answer yes where it may be answered")
    json = argparse.ArgumentParser(add_help=False)
    json.add_argument("--json", action="store_true", help="for scripts")
    target = argparse.ArgumentParser(add_help=False)
    _what_runs(target)
    job = argparse.ArgumentParser(add_help=False)
    job.add_argument(
        "job", nargs="?", default="", metavar="ID", help="or its beginning; the latest"
    )

    def add(name: str, call: str, text: str, *parents: argparse.ArgumentParser) -> _Takes:
        if only and name != only:
            return _Unasked()
        one = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", parents=parents
        )
        one.set_defaults(call=call, host="", yes=False, json=False)
        return one

    add("serve", "entry:serve", "the language server on stdio: what an editor launches")

    init = add("init", "init:init", "configures a host for this project", place)
    init.add_argument("ssh", nargs="?", default="", metavar="HOST", help="as after `ssh`")
    init.add_argument("--path", default="", help="the project's place there")
    init.add_argument("--python", default="", help="the interpreter there, or conda:NAME")

    sync = add("sync", "sync:sync", "brings the remote up to date", place, json)
    sync.add_argument("-n", "--dry-run", action="store_true", help="only say what would be done")
    sync.add_argument("--prefer", choices=("local", "remote", "newer"), default="")
    sync.add_argument(
        "--take-over", action="store_true", help="though another one keeps the folder in step"
    )
    sync.add_argument("--watch", action="store_true", help="keep doing it, until Ctrl-C")
    sync.add_argument("paths", nargs="*", metavar="PATH", help="limits --prefer to these")

    pull = add("pull", "pull:pull", "fetches files and folders from there", place, json)
    pull.add_argument("-n", "--dry-run", action="store_true", help="only say what would come")
    pull.add_argument("--prefer", choices=("remote",), default="", help="over what differs here")
    pull.add_argument("paths", nargs="+", metavar="PATH", help="a path there or here, or a pattern")

    run = add("run", "run:run", "runs a program there, as if it ran here", place, target)
    run.add_argument("-d", "--detach", action="store_true", help="print its id and leave it")
    run.add_argument(
        "-T",
        "--no-terminal",
        action="store_true",
        help="no terminal there, though there is one here",
    )
    run.add_argument(
        "--lines", default="", metavar="FIRST-LAST", help="only these of the file, as a cell"
    )
    run.add_argument(
        "--debug-on-failure",
        action="store_true",
        help="when it fails, start it once more under the debugger, which stops at its exception",
    )
    run.add_argument(
        "--frozen",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="from a copy of the code, which later saves do not change (`freeze` of the host)",
    )
    run.add_argument(
        "--gpus",
        type=int,
        default=0,
        metavar="N",
        help="give it N GPUs that are free, and no other",
    )
    run.add_argument("--busy", action="store_true", help="with --gpus: the freest, though in use")
    add("shell", "run:shell", "a terminal there, in this folder", place)
    add("attach", "run:attach", "shows a job's output from its beginning on", place, job)
    logs = add("logs", "run:logs", "a job's output so far", place, job)
    logs.add_argument("-f", "--follow", action="store_true", help="and what comes")
    everybody = argparse.ArgumentParser(add_help=False)
    everybody.add_argument(
        "--all", action="store_true", help="also what others started on this account"
    )
    jobs = add("jobs", "jobs:jobs", "the jobs there and how they ended", place, json, everybody)
    jobs.add_argument("job", nargs="?", metavar="ID", help="all that is kept of this one")
    jobs.add_argument("--diff", action="store_true", help="what it ran besides its commit, a patch")
    again = add("rerun", "run:rerun", "runs again what a job ran, with today's code", place, job)
    again.add_argument("--frozen", action="store_true", help="with that job's own code")
    again.add_argument("--as-is", action="store_true", help="whatever differs there")
    again.add_argument("-e", "--env", action="append", default=[], metavar="NAME=VALUE")
    again.add_argument("-d", "--detach", action="store_true", help="print its id and leave it")
    again.add_argument("-T", "--no-terminal", action="store_true", help="no terminal there")
    stop = add("stop", "jobs:stop", "ends a job: INT, then TERM, then KILL", place, job, everybody)
    stop.add_argument("-s", "--signal", default="stop", metavar="NAME", help="send this one only")
    debug = add("debug", "debug:debug", "starts a script there under debugpy", place)
    debug.add_argument(
        "--stdio", action="store_true", help="be a debug adapter on stdio: what an editor launches"
    )
    debug.add_argument(
        "--rank", default="", metavar="K", help="of a distributed launch, stop in this one only"
    )
    debug.add_argument(
        "--last-failure",
        action="store_true",
        help="what failed last, or the job that is named, once more: stops at its exception",
    )
    _what_runs(debug, nargs="?", default="")

    forward = add("forward", "ports:forward", "brings ports there here, until Ctrl-C", place, json)
    forward.add_argument("--close", action="store_true", help="close these, whoever opened them")
    forward.add_argument(
        "--bind", default="", metavar="ADDRESS", help="listen there too: other machines get in"
    )
    forward.add_argument(
        "ports",
        nargs="*",
        metavar="PORT",
        help="PORT, HERE:THERE, HERE:HOST:THERE, or sockets' paths; none: what is configured",
    )
    add("ports", "ports:ports", "where jobs listen, and what is forwarded", place, json)
    for name, text in (
        ("tensorboard", "starts TensorBoard there, and brings it here"),
        ("jupyter", "starts a Jupyter server there, and brings it here"),
    ):
        service = add(name, f"services:{name}", text, place)
        service.add_argument("-d", "--detach", action="store_true", help="leave it running there")
        service.add_argument("--open", action="store_true", help="open it in the browser")
        service.add_argument("--port", type=int, default=0, help="the number wanted here")
        what = "LOGDIR, then its own" if name == "tensorboard" else "its own, behind --"
        service.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGS", help=what)
    add("gpus", "gpus:gpus", "the GPUs there, and who uses them", place, json)

    status = add("status", "status:status", "connections, queues, conflicts", place, json)
    status.add_argument(
        "-v", "--verbose", action="store_true", help="and what this project's rules keep out"
    )
    hosts = add("hosts", "hosts:hosts", "the project's hosts; `use NAME` switches", json)
    hosts.add_argument("words", nargs="*", metavar="use NAME", help="saves and runs go there")
    add("conflicts", "conflicts:conflicts", "what differs on both sides", place, json)
    diff = add("diff", "conflicts:diff", "from what is here to what is there", place, json)
    diff.add_argument("paths", nargs="+", metavar="PATH")
    resolve = add("resolve", "conflicts:resolve", "decides what differs", place, json)
    resolve.add_argument(
        "--keep",
        choices=("local", "remote", "both"),
        required=True,
        help="what makes way goes to the trash; both: theirs comes here under another name",
    )
    resolve.add_argument("-n", "--dry-run", action="store_true", help="only say what would be done")
    resolve.add_argument("--all", action="store_true", help="all that `sidecar conflicts` lists")
    resolve.add_argument(
        "paths", nargs="*", metavar="PATH", help="files, folders, or quoted patterns ('*.py')"
    )
    undo = add("undo", "undo:undo", "brings back what a sync overwrote or removed", place, json)
    undo.add_argument("-l", "--list", action="store_true", help="only list, of these paths")
    undo.add_argument("-n", "--dry-run", action="store_true", help="only say what would be done")
    undo.add_argument("--side", choices=("local", "remote"), default="", help="that trash only")
    undo.add_argument("--all", action="store_true", help="list all, however many")
    undo.add_argument(
        "items", nargs="*", metavar="ID|PATH", help="the newest of a path; none: list them"
    )
    why = add("why", "why:why", "which rule decides about a path", place, json)
    why.add_argument("paths", nargs="+", metavar="PATH", help="nothing needs to be there")
    git = add("git", "git:git", "the repository here and the one there", place, json)
    git.add_argument(
        "action",
        choices=("status", "push", "repair"),
        help="push: HEAD, branch and index there as here; repair: also where commits were made "
        "there, which are kept",
    )
    envs = add("envs", "envs:envs", "the Pythons there, and which one jobs get", place, json)
    envs.add_argument("action", nargs="?", choices=("use",), help="have jobs run with NAME")
    envs.add_argument("name", nargs="?", default="", metavar="NAME", help="as listed, or a path")
    clean = add(
        "clean", "clean:clean", "lists, then removes all that is kept there", place, json, everybody
    )
    clean.add_argument("-n", "--dry-run", action="store_true", help="only list")
    clean.add_argument("name", nargs="?", default="", metavar="HOST", help="as -H HOST")
    config = add("config", "settings:config", "each setting and where it comes from", place, json)
    config.add_argument("key", nargs="?", default="", metavar="KEY", help="this one only")
    add("trust", "settings:trust", "lets this project's shared settings count", place)

    doctor = add("doctor", "doctor:doctor", "checks the whole way to a Python there", place, json)
    doctor.add_argument("name", nargs="?", default="", metavar="HOST", help="of the configuration")

    agent = add("agent", "agent:agent", "what is sent to a remote and runs there", json)
    agent.add_argument("--source", action="store_true", required=True, help="print all of it")

    editor = add("editor", "editor:editor", "puts an editor's client in place")
    editor.add_argument("name", choices=("nvim", "vscode"))
    editor.add_argument("--into", default="", metavar="FOLDER", help="instead of the usual place")
    demo = add("demo", "entry:demo", "shows the main job against a server of its own")
    demo.add_argument("--keep", action="store_true", help="leave it up")

    hub = add("hub", "entry:hub", "the background process")
    hub.add_argument("action", choices=("stop", "log"))
    hub.add_argument("--force", action="store_true", help="though programs use it")
    if only and not commands.choices:
        return parser()  # no command, or an option of the whole's: all of them are told of
    return whole
