"""`sidecar jobs` and `sidecar stop`."""

from __future__ import annotations

import argparse
from datetime import datetime

import msgspec

from sidecar import api
from sidecar.cli import place, terminal


def jobs(options: argparse.Namespace) -> int:
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
    """The command as it was asked for: which interpreter it is, `--json` tells."""
    interpreter, _, _ = job.interpreter.partition(" (")
    rest = job.command.removeprefix(interpreter)
    return f"python{rest}" if interpreter and rest != job.command else job.command
