"""`sidecar jobs` and `sidecar stop`."""

from __future__ import annotations

import argparse

import msgspec

from sidecar import api
from sidecar.cli import place, terminal


def jobs(options: argparse.Namespace) -> int:
    with place.connect(options) as hub:
        found = hub.call("sidecar/jobs", api.Place(**place.where(options)), api.JobsResult).jobs
    if options.json:
        # A list for scripts, in the spelling of the command line: exit_status, not exitStatus.
        plain = [msgspec.structs.asdict(job) for job in found]
        print(msgspec.json.encode(plain).decode())
    elif found:
        rows = [
            (job.id, job.host, _state(job), job.started, job.commit[:10], job.command)
            for job in found
        ]
        print(terminal.table(("ID", "HOST", "STATE", "STARTED", "COMMIT", "COMMAND"), rows))
    else:
        terminal.say("No jobs.")
    return 0


def stop(options: argparse.Namespace) -> int:
    with place.connect(options) as hub:
        params = api.SignalParams(
            **place.where(options), job=options.job, signal=options.signal.removeprefix("SIG")
        )
        hub.call("sidecar/signal", params, api.Empty)
    return 0


def _state(job: api.Job) -> str:
    if job.state != "exited":
        return job.state
    return f"killed by {job.signal}" if job.signal else f"exited {job.exit_status}"
