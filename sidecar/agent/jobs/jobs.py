"""Jobs: starts them, shows their output, hands on what they are sent.

A job belongs to its supervisor, not to this agent (supervisor.py): everything here can be done as
well by the next agent, from the job's folder and socket. So nothing is kept but connections.
"""

import json
import os
import queue
import signal
import threading
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from sidecar.agent import machine, private
from sidecar.agent.environment import login
from sidecar.agent.failure import Failure
from sidecar.agent.jobs import (
    annex,
    attachment,
    claims,
    frozen,
    frozen_path,
    gpus,
    lasting,
    remains,
    tail,
)
from sidecar.agent.jobs.spare import Spare
from sidecar.agent.outbox import LinkClosed
from sidecar.agent.supervisor import control, detach, joblog, process, records
from sidecar.agent.supervisor.supervisor import Spec
from sidecar.core import identity, paths
from sidecar.core import messages as m
from sidecar.core.blake2 import blake2b

MOST_JOBS = 500
LIST_BYTES = 700 << 10
"""A list of jobs is one message; older ones are left out of it."""

Send = Callable[..., None]
Variables = Callable[[int], Dict[str, str]]
Verdict = Optional[Tuple[str, List[identity.Entry]]]
"""Of the barrier: why the run may not start ("" if it may) and what differs. None: the barrier
could not be asked, and whoever asked has said so."""


class Jobs:
    """Handles the messages in TYPES. `handle` waits for nothing but the disk; Input and Resize
    not even for that.

    Args:
        send: takes a message and a lane, from any thread.
        state: this machine's state folder.
        files: gives the barrier and the roots' folders (agent/roots/root.py).
        variables: gives the environment of a root's jobs
            (agent/environment/environments.py); the agent's own without it.
    """

    TYPES = (m.Run, m.Without, m.Tail, m.Untail, m.Hold, m.Input, m.Resize, m.Signal, m.Jobs)

    def __init__(
        self, send: Send, state: str, files: Any, variables: Optional[Variables] = None
    ) -> None:
        self._send, self._state, self._files = send, state, files
        self._variables = variables or (lambda root: login.own_variables())
        self._here = machine.here()
        self._lock = threading.RLock()
        self._tails: Dict[str, tail.Tail] = {}
        self._attachments: Dict[str, attachment.Attachment] = {}
        self._signals: Dict[int, attachment.Attachment] = {}
        self.lasting: Optional[lasting.Lasting] = None
        """How jobs outlive the login session; looked for with the first one."""
        self._waiting: Dict[str, Tuple[queue.Queue[Verdict], Dict[str, str]]] = {}
        """Runs that wait at the barrier, and what of their records changes behind it."""
        self._spare = Spare(self._supervisor)
        self._holds: Dict[str, int] = {}
        """Of jobs whose output somebody wants: the offset before which they have all."""

    def handle(self, message: Any) -> None:
        try:
            if isinstance(message, m.Run):
                self._run(message)
            elif isinstance(message, m.Without):
                self._without(message)
            elif isinstance(message, m.Tail):
                self._tail(message.job, message.offset, message.bounds)
                self._send(m.Done(message.id))
            elif isinstance(message, m.Untail):
                self._untail(message.job)
                if message.job not in self._holds:
                    self._let_go(message.job)
            elif isinstance(message, m.Hold):
                self._hold(message.job, message.offset)
            elif isinstance(message, m.Input):
                self._say(message.job, "input", message.offset, message.eof, body=message.body)
            elif isinstance(message, m.Resize):
                self._say(message.job, "resize", message.rows, message.columns)
            elif isinstance(message, m.Signal):
                self._signal(message)
            elif isinstance(message, m.Jobs) and message.gpus:
                # NVIDIA's tool takes up to seconds, and other requests wait behind this one.
                threading.Thread(
                    target=self._list_with_gpus, args=(message.id,), name="gpus", daemon=True
                ).start()
            elif isinstance(message, m.Jobs):
                self._send(m.JobList(message.id, _packed(self._list())))
        except Failure as error:
            self._fail(message.id, error)
        except records.RecordError as error:
            self._fail(message.id, _unknown(message.job, error))

    def close(self) -> None:
        """Lets go of all jobs; they run on."""
        self._spare.close()
        with self._lock:
            tails = list(self._tails.values())
            for job in list(self._tails):
                self._untail(job)
            for job in list(self._attachments):
                self._let_go(job)
        for one in tails:
            one.join(1.0)

    # --- starting -------------------------------------------------------------------------------

    def _run(self, run: m.Run) -> None:
        """The supervisor comes up while the barrier is asked, and gets its task behind it."""
        folder = self._folder(run.job)
        if not run.argv or not run.argv[0]:
            raise Failure("usage", "The run names no program", "", "name one")
        if os.path.lexists(folder):
            self._answer_again(run, folder)
            return
        private.folder(self._state, "jobs", make=True)
        verdict: queue.Queue[Verdict] = queue.Queue()
        self._waiting[run.job] = verdict, {}
        starter = threading.Thread(
            target=self._start, args=(run, folder, verdict), name="run %s" % run.job, daemon=True
        )
        starter.start()
        try:
            self._files.barrier(
                run.root,
                run.after,
                run.digest,
                run.force,
                lambda why, entries: verdict.put((why, entries)),
            )
        except BaseException:
            verdict.put(None)
            raise

    def _without(self, message: m.Without) -> None:
        """The barrier is asked once more, for what is there now. Its first answer counts."""
        waiting = self._waiting.get(message.job)
        if waiting is not None:
            verdict, record = waiting
            record.update(message.record)
            self._files.barrier(
                message.root,
                0,
                "",
                False,
                lambda why, entries: verdict.put((why, entries)),
            )

    def _answer_again(self, run: m.Run, folder: str) -> None:
        """The same run, sent again by somebody who did not hear its answer."""
        record = self._record(folder)
        if record.argv != [*run.launch, *run.argv]:
            raise Failure("exists", "There is another job with the id %s" % run.job)
        self._send(m.Started(run.id, run.job, record.process.pid))
        if run.tail:
            self._tail(run.job, 0)

    def _start(self, run: m.Run, folder: str, verdict: "queue.Queue[Verdict]") -> None:
        try:
            waiting = self._spare.take() or self._supervisor(run.job)
            try:
                found = verdict.get()
                changed = self._waiting.pop(run.job)[1]
                if found is None:
                    return
                run = run._replace(record={**run.record, **changed})
                why, entries = found
                if why:
                    self._send(m.RunRefused(run.id, run.job, why, identity.pack(entries)))
                    return
                if run.record.get("gpus"):
                    run = self._with_gpus(run)
                spec = self._spec(run, folder)
                if run.frozen:
                    spec = self._from_frozen(run, spec)
                answer = waiting.run(spec)
            finally:
                waiting.dismiss()
                self._spare.prepare()
            if "pid" not in answer:
                raise Failure(answer["code"], answer["what"], answer["why"], answer["fix"])
            warning = self.lasting.warning if self.lasting else ""
            self._send(m.Started(run.id, run.job, answer["pid"], warning))
            if run.tail:
                self._tail(run.job, 0)
            self._look_around(run, spec)
        except LinkClosed:
            return  # the job runs all the same, and is found by whoever comes next
        except frozen.Later:
            self._send(m.RunRefused(run.id, run.job, "files were saved meanwhile", b""))
        except frozen.Differs as found:
            why = "files changed while their code was frozen"
            self._send(m.RunRefused(run.id, run.job, why, identity.pack(found.entries)))
        except Failure as error:
            self._fail(run.id, error)
        except (detach.DetachError, OSError) as error:
            self._fail(run.id, Failure("start-failed", "The job cannot be started", str(error)))
        finally:
            self._waiting.pop(run.job, None)
            if run.record.get("gpus") and not os.path.lexists(folder):
                claims.let_go(self._state, run.job)

    def _supervisor(self, job: str = "") -> detach.Supervisor:
        if self.lasting is None:
            self.lasting = lasting.here()
        return detach.Supervisor(job, self.lasting.before)

    def _look_around(self, run: m.Run, spec: Spec) -> None:
        """What nobody waits for."""
        try:
            interpreter = run.record.get("interpreter", "")
            annex.look_around(spec.folder, interpreter, spec.env, bool(run.launch))
            if run.frozen:
                frozen.prune(self._files.place(run.root)[0], self._here)
        except (OSError, Failure):
            return  # the job runs; its record says less, or a copy more stays

    def _from_frozen(self, run: m.Run, spec: Spec) -> Spec:
        """The same job, from a copy of the code.

        Raises:
            frozen.Later, frozen.Differs: the copy would not be what the run was to have.
            Failure: there is none, and none can be made.
        """
        root, managed = self._files.place(run.root)
        if run.kept:
            copy = frozen.find(root, run.frozen)
        else:
            order = self._files.changes(run.root)[1].order
            copy = frozen.make(root, managed, order, run.after, run.frozen, run.force)
        frozen.needed_by(copy, spec.folder)
        return spec._replace(env=frozen_path.lead(spec.env, root.name, copy.path, run.ahead))

    def _with_gpus(self, run: m.Run) -> m.Run:
        """The same, with so many GPUs chosen for it; the record names them then."""
        count, _, busy = run.record["gpus"].partition(" ")
        chosen = ",".join(claims.choose(self._state, run.job, int(count), bool(busy)))
        env = {**run.env, "CUDA_VISIBLE_DEVICES": chosen}
        return run._replace(env=env, record={**run.record, "gpus": chosen})

    def _spec(self, run: m.Run, folder: str) -> Spec:
        """What the supervisor is told.

        Raises:
            Failure: there is no such folder to run in, or `setup` failed.
        """
        cwd = self._working_directory(run)
        return Spec(
            job=run.job,
            folder=folder,
            socket=blake2b(folder.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
            + ".sock",
            argv=[*run.launch, *run.argv],
            env=environment(run, self._variables(run.root)),
            variables=sorted(run.env),
            cwd=cwd,
            rows=run.rows,
            columns=run.columns,
            notes=run.record,
            log_max=run.log_max or joblog.LOG_MAX,
        )

    def _working_directory(self, run: m.Run) -> str:
        cwd = run.cwd
        if not os.path.isabs(cwd):
            if cwd:
                try:
                    paths.check(cwd)
                except paths.PathError as error:
                    raise Failure(
                        "no-such-folder", "Nothing can run in %s" % cwd, str(error)
                    ) from None
            cwd = os.path.join(self._files.folder(run.root), cwd)
        raw = cwd.encode("utf-8", "surrogateescape")
        if not os.path.isdir(raw):
            reason = "it is not a folder" if os.path.lexists(raw) else "it does not exist there"
            failed = process.no_such_folder(cwd, reason)
            raise Failure(failed.code, failed.what, failed.why, failed.fix)
        return os.path.join(cwd, "").rstrip("/") or "/"

    # --- output, input, signals -----------------------------------------------------------------

    def _tail(self, job: str, offset: int, bounds: Sequence[int] = ()) -> None:
        folder = self._folder(job)
        self._record(folder)
        with self._lock:
            previous = self._untail(job)
            try:
                one = tail.Tail(
                    job,
                    folder,
                    offset,
                    self._send,
                    lambda: self._attach(job, folder),
                    bounds,
                    previous,
                )
            except joblog.LogError as error:
                raise Failure(
                    "no-such-output", "The output of %s cannot be shown" % job, str(error)
                ) from None
            self._tails[job] = one
            known = self._attachments.get(job)
            if known is None:
                self._attach(job, folder)
            elif known.taken is not None:
                self._tell(m.Taken(job, known.taken))
            if offset >= 0:
                self._hold(job, min(offset, self._holds.get(job, offset)))
            one.start()

    def _hold(self, job: str, offset: int) -> None:
        with self._lock:
            if offset < 0:
                self._holds.pop(job, None)
                if job not in self._tails:
                    self._let_go(job)
            else:
                self._holds[job] = offset
                self._attach(job, self._folder(job))
        self._say(job, "reads", offset)

    def _untail(self, job: str) -> Optional[tail.Tail]:
        with self._lock:
            one = self._tails.pop(job, None)
            if one is not None:
                one.stop()
            return one

    def _let_go(self, job: str) -> None:
        with self._lock:
            attached = self._attachments.pop(job, None)
        if attached is not None:
            attached.close()

    def _say(self, job: str, name: str, *values: Any, body: bytes = b"") -> None:
        """To the job's supervisor, if it is attached: what is lost otherwise, its sender keeps
        (Taken)."""
        # Without the lock, under which somebody may just wait for a supervisor.
        attached = self._attachments.get(job)
        if attached is not None:
            attached.say(name, *values, body=body)

    def _signal(self, message: m.Signal) -> None:
        folder = self._folder(message.job)
        record, state = records.refreshed(folder, self._here)
        if state == records.ELSEWHERE:
            raise Failure(
                "elsewhere",
                "Job %s runs on %s, not here" % (message.job, record.host),
                "this is %s, and nothing is signalled from another machine" % os.uname().nodename,
                "log in to %s and run `kill %d` there, or use a host of the configuration that "
                "always leads to it" % (record.host, record.process.pid),
            )
        if state == records.EXITED:
            self._signal_remains(record, state, message.name)
            self._send(m.Done(message.id))
            return
        attached = self._attach(message.job, folder)
        if attached is not None:
            with self._lock:
                self._signals[message.id] = attached
            if attached.say("signal", message.id, message.name):
                return
            with self._lock:
                if self._signals.pop(message.id, None) is None:
                    return  # answered already
        # Nobody owns it any more, or nobody answers: its processes can still be told.
        if record.place != self._here:
            raise Failure("over", "Job %s is not running any more" % record.id)
        self._signal_remains(record, records.LOST, message.name)
        self._send(m.Done(message.id))

    def _signal_remains(self, record: records.Record, state: str, name: str) -> None:
        """To whatever is left of a job without a supervisor, on this machine alone."""
        number = getattr(signal, "SIG" + name, None)
        if not isinstance(number, signal.Signals):
            raise Failure("usage", "There is no signal %.20r on this machine" % name)
        left = remains.of(record, state, self._here, remains.marked())
        if not remains.signal(left, number):
            raise Failure("over", "Job %s has ended already" % record.id)

    def _attach(self, job: str, folder: str) -> Optional[attachment.Attachment]:
        """The connection to the job's supervisor, made if there is none; None where there is
        nobody to connect to."""
        with self._lock:
            attached = self._attachments.get(job)
            if attached is not None:
                return attached
            try:
                record, state = records.refreshed(folder, self._here)
                if state != records.RUNNING:
                    return None
                attached = attachment.Attachment(
                    record,
                    lambda offset: self._tell(m.Taken(job, offset)),
                    self._signalled,
                    lambda why: self._tell(m.Stuck(job, why)),
                    lambda gone: self._detached(job, gone),
                )
            except (OSError, control.ControlError, records.RecordError):
                return None
            self._attachments[job] = attached
            # Only now, for whoever hears of it sends input at once.
            attached.start()
            if job in self._holds:
                attached.say("reads", self._holds[job])
            return attached

    def _signalled(self, tag: int, problem: str) -> None:
        with self._lock:
            if self._signals.pop(tag, None) is None:
                return
        if problem:
            self._tell(m.Fail(tag, "not-signalled", "The signal was not sent", problem))
        else:
            self._tell(m.Done(tag))

    def _detached(self, job: str, gone: attachment.Attachment) -> None:
        with self._lock:
            if self._attachments.get(job) is gone:
                del self._attachments[job]
            tags = [tag for tag, attached in self._signals.items() if attached is gone]
            for tag in tags:
                del self._signals[tag]
        for tag in tags:
            # It ends when the job does: most likely the signal did just that.
            self._tell(m.Done(tag))

    # --- what is there --------------------------------------------------------------------------

    def _list_with_gpus(self, request: int) -> None:
        try:
            listed = self._list()
            if any(one["state"] == records.RUNNING or one.get("left") for one in listed):
                in_use, known = gpus.in_use(), remains.marked()
                for one in listed:
                    pids = self._processes(one, known) if in_use else set()
                    one["gpus"] = sorted({card for pid in pids for card in in_use.get(pid, ())})
            self._tell(m.JobList(request, _packed(listed)))
        except Failure as error:
            self._fail(request, error)

    def _processes(self, listed: Dict[str, Any], known: Dict[str, List[int]]) -> Set[int]:
        """Those of a job that was listed just now."""
        pids = set(listed.get("left", ())) | set(known.get(listed["id"], ()))
        if listed["state"] == records.RUNNING:
            pids.update([listed["pid"], *machine.descendants(listed["pid"])])
        return pids

    def _list(self) -> List[Dict[str, Any]]:
        described: List[Dict[str, Any]] = []
        size = 0
        known = remains.marked()
        for folder in records.newest(self._states(), MOST_JOBS):
            try:
                record, state = records.refreshed(folder, self._here)
            except records.RecordNewer as error:
                one = records.describe_unread(folder, str(error))
            except records.RecordError:
                continue  # being made
            else:
                one = records.describe(record, state, remains.of(record, state, self._here, known))
                one["log_bytes"] = joblog.size(folder)
            size += len(json.dumps(one))
            if size > LIST_BYTES:
                break
            described.append(one)
        described.sort(key=lambda one: float(one["started"]), reverse=True)
        return described

    def _states(self) -> List[str]:
        """The state folders whose jobs are shown: ours, which must be safe, and those of machines
        that share it, where they are."""
        own, *others = records.states(self._state)
        private.folder(own, "jobs")
        safe = [own]
        for other in others:
            try:
                private.folder(other, "jobs")
            except Failure:
                continue
            safe.append(other)
        return safe

    def _folder(self, job: str) -> str:
        """The folder of that job: on this machine, whether it is there or not, else on another
        that shares the state folder."""
        private.folder(self._state, "jobs")
        try:
            own = records.folder(self._state, job)
            if os.path.lexists(own):
                return own
            for other in self._states()[1:]:
                shared = records.folder(other, job)
                if os.path.lexists(shared):
                    return shared
        except records.RecordError as error:
            raise Failure("no-such-job", "There is no such job", str(error)) from None
        return own

    def _record(self, folder: str) -> records.Record:
        try:
            return records.read(folder)
        except records.RecordError as error:
            raise _unknown(os.path.basename(folder), error) from None

    def _fail(self, request: int, error: Failure) -> None:
        self._tell(m.Fail(request, error.code, error.what, error.why, error.fix))

    def _tell(self, message: m.Message) -> None:
        try:
            self._send(message)
        except LinkClosed:
            pass  # nobody is there to be told


def _packed(listed: List[Dict[str, Any]]) -> bytes:
    return json.dumps(listed, separators=(",", ":")).encode("ascii")


def _unknown(job: str, error: records.RecordError) -> Failure:
    newer = isinstance(error, records.RecordNewer)
    fix = "use the sidecar that started it, or a later one" if newer else ""
    return Failure("no-such-job", "Job %s is not known" % job, str(error), fix)


def environment(run: m.Run, variables: Dict[str, str]) -> Dict[str, str]:
    """The job's environment: that of its root (agent/environment/environments.py), what the run
    sets, and few things of ours.

    SIDECAR_JOB, and of the record which code it runs: SIDECAR_TREE, SIDECAR_COMMIT and
    SIDECAR_DIRTY, so that a program can write them beside what it makes.

    Python buffers its output by the block where it goes to a pipe, here as on the laptop; but
    here somebody watches it. So PYTHONUNBUFFERED is set for an interpreter without a terminal,
    unless the person has set it, be it to nothing.
    """
    env = {**variables, **run.env}
    env["SIDECAR_JOB"] = run.job
    for name in ("tree", "commit", "dirty"):
        if run.record.get(name):
            env["SIDECAR_" + name.upper()] = run.record[name]
    if run.rows > 0 and run.columns > 0:
        env.setdefault("TERM", "xterm-256color")
    elif os.path.basename(run.argv[0]).startswith("python"):
        env.setdefault("PYTHONUNBUFFERED", "1")
    return env
