"""A line with delay and a rate between two network namespaces: real TCP on both sides of it.

Two TUN devices, one in each namespace, and a process of its own that carries packets between them,
with a drop-tail queue in front of the slowest place, as a router has it. A line without delay is
a bare veth pair: the kernel's own, 0.06 ms there and back. Needs root and Linux.

Whoever enters a line is at its near end: this thread's sockets and all that it starts from then on
are in that namespace, so no command pays for `ip netns exec` while it is timed.

    python -m bench.line NS_A NS_B --delay-ms 40 --rate-mbit 50     (what `Line` starts)
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys
import time

HERE, THERE = "10.99.0.1", "10.99.0.2"
"""Addresses of the two ends. They exist in the two namespaces only."""

QUEUE = 256 * 1024
"""Bytes that wait before packets are dropped: 40 ms at 50 Mbit/s, an ordinary router's."""

MTU = 1500

_SET_INTERFACE = 0x400454CA  # TUNSETIFF
_TUN, _NO_INFORMATION = 0x0001, 0x1000


_CLONE_NEWNET = 0x40000000


class Line:
    """The two namespaces and the line between them, from entering to leaving.

    Args:
        delay_ms: one way; 0: none, and no limit to the rate either.
        rate_mbit: each way.
    """

    def __init__(self, delay_ms: float, rate_mbit: float) -> None:
        self.delay_ms, self.rate_mbit = delay_ms, rate_mbit
        tag = f"sc{os.getpid() % 100000}"
        self.here, self.there = f"{tag}a", f"{tag}b"
        self._arguments = ["--delay-ms", str(delay_ms), "--rate-mbit", str(rate_mbit)]

    def __enter__(self) -> Line:
        with contextlib.ExitStack() as undo:
            for name in (self.here, self.there):
                _run("ip", "netns", "add", name)
                undo.callback(_run, "ip", "netns", "delete", name)
                _run("ip", "-n", name, "link", "set", "lo", "up")
                self.congestion = self._usual_congestion_control(name)
            if self.delay_ms:
                self._start(undo)
            else:
                self._join()
            undo.callback(_enter, os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
            _enter(os.open(f"/run/netns/{self.here}", os.O_RDONLY | os.O_CLOEXEC))
            self._undo = undo.pop_all()
        return self

    def _usual_congestion_control(self, name: str) -> str:
        """Sets one that fills queues, as most remotes' does, whatever this machine's default is.
        Only some may be chosen in a namespace."""
        for choice in ("cubic", "reno"):
            setting = f"net.ipv4.tcp_congestion_control={choice}"
            command = [*self.within(name), "sysctl", "-qw", setting]
            if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0:
                return choice
        return "the machine's default"

    def _join(self) -> None:
        """The veth pair; it goes with the namespaces."""
        ends = (self.here, HERE, THERE), (self.there, THERE, HERE)
        near, far = (f"{name}0" for name, _, _ in ends)
        _run("ip", "-n", self.here, "link", "add", near, "type", "veth", "peer", "name", far)
        _run("ip", "-n", self.here, "link", "set", far, "netns", self.there)
        for name, address, peer in ends:
            _run("ip", "-n", name, "addr", "add", address, "peer", peer, "dev", f"{name}0")
            _run("ip", "-n", name, "link", "set", f"{name}0", "up")

    def _start(self, undo: contextlib.ExitStack) -> None:
        """The carrier between two TUN devices."""
        self._carrier = subprocess.Popen(
            [sys.executable, "-m", "bench.line", self.here, self.there, *self._arguments],
            stdout=subprocess.PIPE,
        )
        undo.callback(self._stop)
        assert self._carrier.stdout is not None
        if self._carrier.stdout.readline() != b"ready\n":
            raise RuntimeError("the line does not come up")

    def _stop(self) -> None:
        self._carrier.terminate()
        self._carrier.communicate()

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    @staticmethod
    def within(name: str) -> list[str]:
        """What a command is put behind to run in a namespace."""
        return ["ip", "netns", "exec", name]


def _enter(namespace: int) -> None:
    """Puts this thread into a network namespace, and closes the descriptor. Linux has the call;
    Python has it from 3.12 on."""
    try:
        if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(namespace)


def possible() -> bool:
    """Whether lines can be made here."""
    return os.geteuid() == 0 and os.path.exists("/dev/net/tun")


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _device(namespace: str, name: str, address: str, peer: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH22x", name.encode(), _TUN | _NO_INFORMATION)
    fcntl.ioctl(descriptor, _SET_INTERFACE, request)
    _run("ip", "link", "set", name, "netns", namespace)
    _run("ip", "-n", namespace, "addr", "add", address, "peer", peer, "dev", name)
    _run("ip", "-n", namespace, "link", "set", name, "mtu", str(MTU), "up")
    return descriptor


class _Direction:
    """Packets on their way from one device to the other."""

    def __init__(self, source: int, sink: int, delay: float, rate: float) -> None:
        self.source, self._sink, self._delay, self._rate = source, sink, delay, rate
        self._packets: collections.deque[tuple[float, bytes]] = collections.deque()
        self._free_at = 0.0

    @property
    def due(self) -> float | None:
        return self._packets[0][0] if self._packets else None

    def take(self, now: float) -> None:
        while True:
            try:
                packet = os.read(self.source, 65536)
            except BlockingIOError:
                return
            waiting = max(0.0, self._free_at - now) * self._rate
            if waiting + len(packet) > QUEUE:
                continue  # dropped, as a full router does
            self._free_at = max(now, self._free_at) + len(packet) / self._rate
            self._packets.append((self._free_at + self._delay, packet))

    def give(self, now: float) -> None:
        while self._packets and self._packets[0][0] <= now:
            try:
                os.write(self._sink, self._packets.popleft()[1])
            except OSError:
                return  # the device is going away


def _carry(arguments: argparse.Namespace) -> None:
    tag = f"sc{os.getpid() % 100000}"
    here = _device(arguments.here, f"{tag}a", HERE, THERE)
    there = _device(arguments.there, f"{tag}b", THERE, HERE)
    delay, rate = arguments.delay_ms / 1000, arguments.rate_mbit * 1e6 / 8
    ways = [_Direction(here, there, delay, rate), _Direction(there, here, delay, rate)]
    # A line does not wait for the processors of those whom it joins: packets that were read late
    # would find its queue full that never was.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    print("ready", flush=True)
    while True:
        due = min((way.due for way in ways if way.due is not None), default=None)
        wait = None if due is None else max(0.0, due - time.monotonic())
        readable, _, _ = select.select([here, there], [], [], wait)
        now = time.monotonic()
        for way in ways:
            if way.source in readable:
                way.take(now)
            way.give(time.monotonic())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("here")
    parser.add_argument("there")
    parser.add_argument("--delay-ms", type=float, required=True)
    parser.add_argument("--rate-mbit", type=float, required=True)
    _carry(parser.parse_args())
