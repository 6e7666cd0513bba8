"""A wire between two network namespaces that loses, delays and reorders packets by a seed, and can be cut.

`python -m tests.siege.wire NEAR FAR SEED` makes a TUN device in each of two namespaces that exist and carries IP
packets between them. Each line of its input sets it anew: LOSS (0 to 1) JITTER_MS (each packet is late by 0 to so many
ms, so packets overtake each other) CUT (0 or 1). Ends with its input. In place of tc's netem: not every kernel has it.
"""

import contextlib
import ctypes
import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Self

NEAR_IP, FAR_IP = "10.55.0.1", "10.55.0.2"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
SEED = 5


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()} (this needs root and Debian's iproute2)"


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Sockets made and processes begun by this thread are in the namespace; they stay in it afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{namespace}") as there:
        assert libc.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)


class Wire:
    """`with Wire() as wire:` two namespaces with NEAR_IP and FAR_IP. Raises AssertionError with what is missing."""

    def __init__(self) -> None:
        self.near, self.far = f"agner-near-{os.getpid()}", f"agner-far-{os.getpid()}"

    def __enter__(self) -> Self:
        assert os.geteuid() == 0, "network namespaces are made by root: run this as root"
        assert os.path.exists("/dev/net/tun"), "no /dev/net/tun: the kernel's tun module is not there"
        for namespace in (self.near, self.far):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        command = [sys.executable, "-m", "tests.siege.wire", self.near, self.far, str(SEED)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout and self._process.stdout.readline() == "up\n", "the wire did not come up"
        return self

    def set(self, loss: float = 0.0, jitter_ms: float = 0.0, is_cut: bool = False) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{loss} {jitter_ms} {int(is_cut)}\n")
        self._process.stdin.flush()

    def __exit__(self, *exception: object) -> None:
        try:
            told, _ = self._process.communicate(timeout=5)
            print("the wire:", told.strip())
        finally:
            for namespace in (self.near, self.far):
                run("ip", "netns", "del", namespace)


def _tun(namespace: str, ip: str) -> int:
    with inside(namespace):
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"wire", IFF_TUN | IFF_NO_PI))
    run("ip", "-n", namespace, "addr", "add", f"{ip}/24", "dev", "wire")
    run("ip", "-n", namespace, "link", "set", "wire", "up")
    return device


def main(near: str, far: str, seed: str) -> None:
    rnd, order = random.Random(int(seed)), itertools.count()
    ends = {_tun(near, NEAR_IP): 0, _tun(far, FAR_IP): 0}
    other = dict(zip(ends, reversed(ends), strict=True))
    late: list[tuple[float, int, int, bytes]] = []
    loss = jitter_s = 0.0
    is_cut, n_carried, n_lost, n_overtook = False, 0, 0, 0
    print("up", flush=True)
    while True:
        wait_s = max(0.0, late[0][0] - time.monotonic()) if late else None
        ready = select.select([*ends, sys.stdin], [], [], wait_s)[0]
        if sys.stdin in ready:
            if not (line := sys.stdin.readline()):
                break
            asked = [float(part) for part in line.split()]
            loss, jitter_s, is_cut = asked[0], asked[1] / 1000, bool(asked[2])
        for end in [end for end in ends if end in ready]:
            packet = os.read(end, 65535)
            if is_cut or rnd.random() < loss:
                n_lost += 1
                continue
            due = time.monotonic() + rnd.random() * jitter_s
            n_overtook += bool(late) and due < max(late)[0]
            heapq.heappush(late, (due, next(order), other[end], packet))
        while late and late[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(late)
            with contextlib.suppress(OSError):  # a device whose queue is full
                os.write(end, packet)
            n_carried += 1
    print(f"{n_carried} packets carried, {n_overtook} overtook others, {n_lost} lost")


if __name__ == "__main__":
    main(*sys.argv[1:])
