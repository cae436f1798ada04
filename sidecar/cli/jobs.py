"""`sidecar jobs` and `sidecar stop`."""

from __future__ import annotations

import argparse
import re
from datetime import datetime

import msgspec

from sidecar import api
from sidecar.cli import place, terminal
from sidecar.core import copies

_COPY = re.compile(rf"[^\s']*/{re.escape('/'.join(copies.INSIDE))}/[0-9a-z-]+/")
"""The beginning of a path in frozen code."""

MOST_NAMED = 10
"""Changed files that are named."""


def jobs(options: argparse.Namespace) -> int:
    if options.job is not None or options.diff:
        return _one(options)
    params = api.JobsParams(**place.where(options), all=options.all)
    with place.connect(options) as hub:
        found = hub.call("sidecar/jobs", params, api.JobsResult).jobs
    if options.json:
        # A list for scripts, in the spelling of the command line: exit_status, not exitStatus.
        plain = [msgspec.structs.asdict(job) for job in found]
        print(msgspec.json.encode(plain).decode())
    elif found:
        head = ["ID", "HOST", "STATE", "STARTED", "COMMIT", "COMMAND"]
        rows = [
            [job.id, job.host, _state(job), _when(job), job.commit[:10], _command(job)]
            for job in found
        ]
        if options.all:
            head.insert(-1, "BY")
            for row, job in zip(rows, found, strict=True):
                row.insert(-1, job.owner)
        print(terminal.table(head, rows))
    else:
        terminal.say("No jobs.")
    return 0


def _one(options: argparse.Namespace) -> int:
    params = api.JobParams(**place.where(options), job=options.job or "")
    with place.connect(options) as hub:
        found = hub.call("sidecar/job", params, api.JobDetails)
    if options.diff:
        print(terminal.printable(found.diff), end="")
    elif options.json:
        print(msgspec.json.encode(msgspec.structs.asdict(found)).decode())
    else:
        for name, text in _details(found):
            print(f"{name:<12} {terminal.one_line(text)}".rstrip())
    return 0


def _details(found: api.JobDetails) -> list[tuple[str, str]]:
    """What there is to say, line by line."""
    job = found.job
    code = f"{job.commit or 'no commit'}" + (f" + {job.dirty} changed" if job.dirty else "")
    if found.diff:
        code += f" (`sidecar jobs --diff {job.id}`)"
    if job.as_is:
        code += "; as it was there"
        code += f", which differed in {', '.join(job.differing)}" if job.differing else ""
    if job.without:
        code += f"; without {', '.join(job.without)}, which had not arrived"
    said = [
        ("job", job.id),
        ("command", job.command),
        ("state", _state(job) + (f": {job.why}" if job.why else "")),
        ("started", f"{_when(job)} on {job.machine or job.host}, in {found.cwd}"),
        ("code", code),
        ("tree", (job.tree or "unknown") + (", frozen" if job.frozen else "")),
        ("interpreter", job.interpreter),
        ("variables", ", ".join(found.variables)),
        ("GPUs", "; ".join(found.cards)),
        ("packages", ", ".join(f"{name} {one}" for name, one in sorted(found.packages.items()))),
    ]
    if found.changed is not None:
        changed = ", ".join(found.changed[:MOST_NAMED])
        more = ", …" if len(found.changed) > MOST_NAMED else ""
        said.append(("changed", f"{_files(len(found.changed))} since its start: {changed}{more}"))
    return [(name, text) for name, text in said if text]


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


def stop(options: argparse.Namespace) -> int:
    with place.connect(options) as hub:
        params = api.SignalParams(
            **place.where(options),
            job=options.job,
            signal=options.signal.removeprefix("SIG"),
            all=options.all,
        )
        hub.call("sidecar/signal", params, api.Empty)
    return 0


def _state(job: api.Job) -> str:
    state: str = job.state
    if job.elsewhere:
        return f"running on {job.machine}"
    if job.state == "exited":
        state = f"killed by {job.signal}" if job.signal else f"exited {job.exit_status}"
    if job.changed:
        state += f", {_files(job.changed)} changed since"
    elif job.frozen and job.state == "running":
        state += ", frozen"
    return f"{state}, {len(job.left)} left" if job.left else state


def _when(job: api.Job) -> str:
    """The start by the clock on the wall here: today's by the hour, older ones by the day."""
    try:
        started = datetime.fromisoformat(job.started).astimezone()
    except ValueError:
        return job.started
    today = started.date() == datetime.now().astimezone().date()
    return f"{started:%H:%M}" if today else f"{started:%Y-%m-%d %H:%M}"


def _command(job: api.Job) -> str:
    """The command as it was asked for: which interpreter it is, and where its frozen code lies,
    `--json` tells."""
    interpreter, _, _ = job.interpreter.partition(" (")
    rest = job.command.removeprefix(interpreter)
    if job.frozen:
        rest = _COPY.sub("", rest)
    return f"python{rest}" if interpreter and job.command.startswith(interpreter) else rest
