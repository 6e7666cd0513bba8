"""`python -m benchmarks.registrar`: phones that log in, as many as a large floor has, as fast as they can.

Starts the real daemon, with an agent for each phone, and sends it REGISTERs from this process: each phone is challenged
once and then refreshes with the next nonce count, every answer is looked at. Reported are REGISTERs a second of the
clock and of the daemon's own CPU time, which is what a core could do. The last line of stdout is one JSON object.
"""

import hashlib
import json
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import click

from benchmarks.daemon import START_WITHIN_S, STOP_WITHIN_S
from benchmarks.layout import CHECKOUT
from benchmarks.machine import Usage
from engine.control import ControlError, ask

SWITCH = ("127.0.0.1", 19061)
SOURCE, N_SOCKETS, N_UNDER_WAY = "127.0.0.30", 64, 48
PASSWORD = "right horse battery"
AGAIN_S = 1.0  # a datagram that was lost
GIVE_UP_S = 60.0  # for each stretch


def ha1(user: str, name: str = "sha256") -> str:
    return hashlib.new(name, f"{user}:agner:{PASSWORD}".encode()).hexdigest()


def write_configuration(folder: Path, n_phones: int) -> None:
    (folder / "plans").mkdir(parents=True)
    (folder / "var").mkdir()
    (folder / "switch.yaml").write_text(
        f"sip: {{address: {SWITCH[0]}, udp port: {SWITCH[1]}, tcp port: off, rtp ports: 20000-20999}}\n"
        f"trunks: {{bench: {{from: {SOURCE}}}}}\nlimits: {{max calls: 50}}\nregistrar: {{keep alive: 30s}}\n"
        f"storage: sqlite:///{folder}/agner.db\nfolder: {folder}/var\nprompts: {CHECKOUT}/prompts\n"
    )
    agents = [f'  "{10000 + n}": {{phone: registered, queues: all}}' for n in range(n_phones)]
    (folder / "staff.yaml").write_text("queues: {all: {}}\nagents:\n" + "\n".join(agents) + "\n")
    (folder / "plans" / "bench.yaml").write_text('numbers: {"5000": all}\nplans: {all: [answer, queue: all]}\n')
    users = [str(10000 + n) for n in range(n_phones)]
    rows = {user: {"realm": "agner", "ha1": {"SHA-256": ha1(user), "MD5": ha1(user, "md5")}} for user in users}
    passwords = folder / "var" / "phone-passwords.json"
    passwords.touch(0o600)
    passwords.write_text(json.dumps(rows))


class Phone:
    def __init__(self, user: str, line: socket.socket, switch: tuple[str, int]) -> None:
        self.user, self.line, self.switch, self.ha1 = user, line, switch, ha1(user)
        self.uri = f"sip:{switch[0]}:{switch[1]}"
        self.cseq = self.nc = 0
        self.nonce = ""
        self.sent_at = 0.0
        self.request = b""
        self.here = "{}:{}".format(*line.getsockname())

    def next(self) -> None:
        """Send the next REGISTER."""
        self.cseq += 1
        head = (
            f"REGISTER {self.uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self.here};rport;branch=z9hG4bK{self.user}x{self.cseq}\r\n"
            f"From: <sip:{self.user}@agner>;tag=1\r\nTo: <sip:{self.user}@agner>\r\nCall-ID: {self.user}\r\n"
            f"CSeq: {self.cseq} REGISTER\r\nMax-Forwards: 70\r\nExpires: 600\r\nUser-Agent: bench\r\n"
            f"Contact: <sip:{self.user}@{self.here}>\r\n{self._authorization()}Content-Length: 0\r\n\r\n"
        )
        self.request = head.encode()
        self.again()

    def again(self) -> None:
        self.sent_at = time.monotonic()
        self.line.sendto(self.request, self.switch)

    def _authorization(self) -> str:
        if not self.nonce:
            return ""
        self.nc += 1
        ha2 = hashlib.sha256(f"REGISTER:{self.uri}".encode()).hexdigest()
        text = f"{self.ha1}:{self.nonce}:{self.nc:08x}:cn:auth:{ha2}"
        return (
            f'Authorization: Digest username="{self.user}", realm="agner", nonce="{self.nonce}", uri="{self.uri}",'
            f' response="{hashlib.sha256(text.encode()).hexdigest()}", algorithm=SHA-256, cnonce="cn", qop=auth,'
            f" nc={self.nc:08x}\r\n"
        )


_STATUS = re.compile(r"^SIP/2.0 (\d+)")
_CALL_ID, _CSEQ = re.compile(r"\r\nCall-ID: *(\d+)\r"), re.compile(r"\r\nCSeq: *(\d+) ")


def _number(field: re.Pattern[str], text: str) -> int:
    found = field.search(text)
    return int(found[1]) if found else -1


class Floor:
    """The phones, and what came of their requests."""

    def __init__(self, n_phones: int, switch: tuple[str, int] = SWITCH, source: str = SOURCE) -> None:
        self.switch = switch
        self.lines = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(N_SOCKETS)]
        self.selector = selectors.DefaultSelector()
        for line in self.lines:
            line.bind((source, 0))
            line.setblocking(False)
            self.selector.register(line, selectors.EVENT_READ)
        self.phones = {
            str(10000 + n): Phone(str(10000 + n), self.lines[n % N_SOCKETS], switch) for n in range(n_phones)
        }
        self.n_lost = self.n_options = 0
        self.delays_s: list[float] = []

    def rounds(self, n: int, expected: int) -> float:
        """Each phone n times, all answers `expected`; seconds it took."""
        began, waiting = time.monotonic(), deque(list(self.phones.values()) * n)
        under_way: dict[str, Phone] = {}
        looked_at = began
        while waiting or under_way:
            while waiting and len(under_way) < N_UNDER_WAY and waiting[0].user not in under_way:
                phone = waiting.popleft()
                under_way[phone.user] = phone
                phone.next()
            for key, _ in self.selector.select(0.1):
                self._read(key.fileobj, under_way, expected)
            if time.monotonic() > began + GIVE_UP_S:
                raise SystemExit(f"no answer for {len(under_way)} phones within {GIVE_UP_S:g} s")
            if time.monotonic() > looked_at + AGAIN_S:
                looked_at = time.monotonic()
                for phone in under_way.values():
                    if phone.sent_at < looked_at - AGAIN_S:
                        self.n_lost += 1
                        phone.again()
        return time.monotonic() - began

    def _read(self, line: Any, under_way: dict[str, Phone], expected: int) -> None:
        try:
            while True:
                text = line.recv(65535).decode()
                if text.startswith("OPTIONS"):
                    self._answer_options(line, text)
                    continue
                user, cseq, status = (_number(field, text) for field in (_CALL_ID, _CSEQ, _STATUS))
                phone = under_way.get(str(user))
                if phone is None or cseq != phone.cseq:
                    continue
                if status != expected:
                    raise SystemExit(f"expected {expected}, got:\n{text}")
                if status == 401:
                    phone.nonce = text.partition('nonce="')[2].partition('"')[0]
                self.delays_s.append(time.monotonic() - phone.sent_at)
                del under_way[phone.user]
        except BlockingIOError:
            return

    def _answer_options(self, line: Any, text: str) -> None:
        self.n_options += 1
        kept = [row for row in text.split("\r\n") if row.partition(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
        line.sendto("\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""]).encode(), self.switch)


def start(folder: Path) -> "subprocess.Popen[bytes]":
    program, log = Path(sys.executable).with_name("agner"), (folder / "daemon.log").open("wb")
    process = subprocess.Popen(
        [program, "--config", folder, "run"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=CHECKOUT
    )
    until = time.monotonic() + START_WITHIN_S
    while True:
        try:
            ask(folder / "var" / "agner.sock", "status")
            return process
        except ControlError:
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                raise SystemExit((folder / "daemon.log").read_text()[-3000:]) from None
            time.sleep(0.05)


def measure(n_phones: int, n_rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="agner-registrar-") as name:
        folder = Path(name)
        write_configuration(folder, n_phones)
        process = start(folder)
        try:
            floor = Floor(n_phones)
            challenge_s = floor.rounds(1, 401)
            first_s = floor.rounds(1, 200)
            floor.delays_s.clear()
            before = Usage.of(process.pid, time.time())
            seconds = floor.rounds(n_rounds, 200)
            after = Usage.of(process.pid, time.time())
            status = ask(folder / "var" / "agner.sock", "status")
            rows = ask(folder / "var" / "agner.sock", "phones")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_WITHIN_S)
    n, cpu_s = n_phones * n_rounds, after.cpu_s - before.cpu_s
    delays = sorted(floor.delays_s)
    return {
        "phones": n_phones,
        "there": sum(row["state"] == "there" for row in rows),
        "registers": n,
        "per_s": round(n / seconds),
        "per_cpu_s": round(n / cpu_s),
        "challenges_per_s": round(n_phones / challenge_s),
        "first_per_s": round(n_phones / first_s),
        "delay_p50_ms": round(delays[len(delays) // 2] * 1000, 2),
        "delay_p99_ms": round(delays[len(delays) * 99 // 100] * 1000, 2),
        "sent_again": floor.n_lost,
        "options": floor.n_options,
        "engine_delay_ms": status["engine_delay_ms"],
        "rss_mb": round(after.rss / 1e6),
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--phones", default=10_000, type=click.IntRange(N_UNDER_WAY + 1), help="How many log in.")
@click.option("--rounds", default=3, type=click.IntRange(1), help="How often each refreshes while it is measured.")
def main(phones: int, rounds: int) -> None:
    """REGISTERs a second, each authenticated, with so many phones logged in."""
    found = measure(phones, rounds)
    for name, value in found.items():
        click.echo(f"{name.replace('_', ' '):<18} {value}")
    click.echo(json.dumps(found))


if __name__ == "__main__":
    main()
