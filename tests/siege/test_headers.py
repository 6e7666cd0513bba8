"""What callers may say, and may not bring about: no leg, no credentials, no forged line (security.md S6, S12, S13)."""

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from engine.records.search import Wanted
from tests.live.floor import AGNER, HOST, Daemon, until
from tests.live.phones import AGENT_PORTS, ANSWERED, ANSWERS, hangs_up_after
from tests.siege.flood import SDP
from tests.sip.peers import got, pause, reply, request

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
QUIET_S = 0.7


class Line:
    """A UDP socket of somebody: sends text, and keeps what it hears."""

    def __init__(self, port: int, address: str = HOST, at: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, at))
        self._socket.setblocking(False)
        self.here = f"{address}:{self._socket.getsockname()[1]}"
        self._to, self.heard = (HOST, port), []  # type: tuple[str, int], list[str]

    def send(self, *lines: str, body: str = "") -> None:
        kind = ["Content-Type: application/sdp"] if body else []
        text = "\r\n".join([*lines, *kind, f"Content-Length: {len(body)}", "", body])
        self._socket.sendto(text.encode("utf-8", "surrogateescape"), self._to)

    def invite(self, number: str, name: str, caller: str = "6500", *more: str) -> None:
        self.send(
            f"INVITE sip:{number}@{HOST} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.here};branch=z9hG4bK{caller};rport",
            f"From: {name}<sip:{caller}@{self.here}>;tag=1",
            f"To: <sip:{number}@{HOST}>",
            f"Call-ID: {caller}@{self.here}",
            "CSeq: 1 INVITE",
            f"Contact: <sip:{caller}@{self.here}>",
            "Max-Forwards: 70",
            *more,
            body=SDP.format(at=HOST),
        )

    def ack(self, answer: str, target: str = f"sip:{HOST}") -> None:
        self.send(f"ACK {target} SIP/2.0", *_kept(answer, "Via From To Call-ID"), "CSeq: 1 ACK", "Max-Forwards: 70")

    def reply(self, status: str, heard: str, *more: str) -> None:
        self.send(f"SIP/2.0 {status}", *_kept(heard, "Via From To Call-ID CSeq"), *more)

    def turn(self) -> list[str]:
        """What came since the last call."""
        came: list[str] = []
        while True:
            try:
                came.append(self._socket.recv(65535).decode(errors="replace"))
            except OSError:
                self.heard += came
                return came

    def until(self, begin: str, within_s: float = 5.0) -> str:
        def there() -> str:
            self.turn()
            return next((text for text in self.heard if text.startswith(begin)), "")

        return str(until(f"{begin!r} among {[text[:60] for text in self.heard]}", there, within_s))

    def close(self) -> None:
        self._socket.close()


def _kept(text: str, names: str) -> list[str]:
    return [line for line in text.split("\r\n") if line.partition(":")[0] in names.split()]


@pytest.fixture
def line(ground) -> Iterator[Callable[..., Line]]:
    lines: list[Line] = []

    def make(*where: object) -> Line:
        lines.append(Line(ground.daemon.port, *where))  # type: ignore[arg-type]
        return lines[-1]

    yield make
    for one in lines:
        one.close()


# ---- S6: no leg from outside


def test_refer_makes_no_leg(ground, line):
    """REFER by a caller in a talk with its plan, and by one without a dialog."""
    target = line("127.0.0.66")
    refer = request("REFER", 2).replace("Max-Forwards", f"Refer-To: <sip:x@{target.here}>\nMax-Forwards")
    refused = '<recv response="202" optional="true" next="9"/><recv response="403"/>'
    ground.sipp_calls(
        "103", "6501", *ANSWERED, refer, refused, pause(300), request("BYE", 3), got(200), '<label id="9"/>'
    ).wait()
    alone = line()
    alone.send(
        f"REFER sip:100@{HOST} SIP/2.0",
        f"Via: SIP/2.0/UDP {alone.here};branch=z9hG4bKrefer",
        f"From: <sip:1@{alone.here}>;tag=1",
        f"To: <sip:100@{HOST}>",
        "Call-ID: refer",
        "CSeq: 1 REFER",
        f"Contact: <sip:1@{alone.here}>",
        f"Refer-To: <sip:x@{target.here}>",
        "Max-Forwards: 70",
    )
    assert alone.until("SIP/2.0 ").split()[1] in ("403", "405", "481", "501")
    time.sleep(QUIET_S)
    assert target.turn() == [] and ground.daemon.ask("status")["n_legs"] == 0


def test_an_agents_phone_cannot_send_a_call_elsewhere(ground, line):
    """302 is a refusal; the call goes on as for any other."""
    target = line("127.0.0.66")
    moved = reply(302, header=f"Contact: <sip:x@{target.here}>\n")
    ground.sipp_phone(AGENT_PORTS["1001"], got("INVITE"), re.sub(r"Contact: <sip:phone[^\n]*\n", "", moved), got("ACK"))
    ground.daemon.seat("1001")
    ground.sipp_calls("100", "6502", *hangs_up_after(700)).wait()
    cdr = ground.daemon.cdr("6502")
    assert [one["outcome"] for one in cdr["segments"] if one["kind"] == "offer"][:1] != ["answered"]
    assert target.turn() == [] and cdr["disposition"] == "abandoned"


def test_replaces_takes_no_call_over(ground, line):
    """A second caller of the trunk knows the tags of the first one's talk."""
    ground.sipp_phone(AGENT_PORTS["1001"], *ANSWERS, got("BYE"), pause(100))
    ground.daemon.seat("1001")
    first, thief = line(), line()
    first.invite("100", "", "6503")
    answer = first.until("SIP/2.0 200")
    first.ack(answer)
    ground.daemon.until_state("TALKING")
    our_tag = answer.partition("\nTo:")[2].partition(";tag=")[2].split()[0]
    thief.invite("103", "", "6504", f"Replaces: 6503@{first.here};to-tag={our_tag};from-tag=1")
    said = thief.until("SIP/2.0 4")
    thief.ack(said)
    time.sleep(0.3)
    assert [row["ani"] for row in ground.daemon.ask("calls")] == ["6503"] and not any(
        text.startswith("BYE") for text in first.turn()
    )
    ground.daemon.ask("hangup", id=ground.daemon.ask("calls")[0]["call"])
    first.reply("200 OK", first.until("BYE"))


# ---- S12: no credentials to a caller


@pytest.mark.parametrize(
    ("status", "header"), [("401 Unauthorized", "WWW"), ("407 Proxy Authentication Required", "Proxy")]
)
def test_a_caller_that_challenges_us_learns_nothing(own, monkeypatch, status, header):
    """The switch has credentials for this very trunk, for calls out through it. A caller of the trunk that answers our
    BYE with a challenge gets none: what it could learn from a digest, it could guess at."""
    crowd = {
        "from": ["127.0.0.10/32"],
        "destinations": ["sip:127.0.0.10:16998"],
        "login": {"user": "agner", "realm": "crowd", "password variable": "CROWD_PASSWORD"},
    }
    monkeypatch.setenv("CROWD_PASSWORD", "secret")
    daemon = own(trunks={"crowd": crowd})
    caller = Line(daemon.port, "127.0.0.10")
    caller.invite("105", "", "6510")
    answer = caller.until("SIP/2.0 200")
    caller.ack(answer)
    bye = caller.until("BYE", 10.0)
    caller.reply(status, bye, f'{header}-Authenticate: Digest realm="crowd", nonce="1", algorithm=MD5, qop="auth"')
    time.sleep(1.0)
    caller.turn()
    assert not [text for text in caller.heard if "authorization:" in text.lower()]
    daemon.until_clean()
    caller.close()


# ---- S13: what is written

NAMES = {
    "6521": '"\x1b[2J\x1b[31mowned\x1b[0m" ',
    "6522": '"a\r\n 2026-01-01 00:00:00,000 ERROR engine.app: forged" ',
    "6523": '"=HYPERLINK(\\"http://x\\",\\"y\\")" ',
    "6524": "\"+cmd|' /C calc'!A0\" ",
    "6525": '"@SUM(1)\t-2" ',
    "6526": '"' + "A" * 12_000 + '" ',
    "6527": '"\u202egnp.exe\u2028line" ',
    "6528": '"\\"},{\\"ev\\":\\"forged" ',
    "6529": "\"Robert'); DROP TABLE calls;--\" ",
    "x'OR'1'='1": "",
    "=1+2": "",
}


def test_no_header_forges_a_line(ground, line):
    daemon: Daemon = ground.daemon
    before = len(daemon.log())
    for caller, name in NAMES.items():
        calling = line()
        calling.invite("999", name, caller)
        time.sleep(0.2)  # who cannot be understood is not answered
        for answer in calling.turn():
            if answer.startswith("SIP/2.0 4"):
                calling.ack(answer)
    too_long = line()
    with pytest.raises(OSError):
        too_long.invite("999", '"' + "A" * 100_000 + '" ')  # no datagram is so long; by TCP:
    with socket.create_connection((HOST, daemon.port)) as stream:
        stream.settimeout(3)
        try:
            stream.sendall(b'INVITE sip:999@x SIP/2.0\r\nFrom: "' + b"A" * 100_000 + b'" <sip:1@x>;tag=1\r\n')
            assert stream.recv(10) == b"", "closed: more than a message may have"
        except ConnectionError:
            pass
    daemon.until_clean()
    log = daemon.log()[before:]
    assert not CONTROL.search(log.replace("\n", "")) and "ERROR" not in log
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [A-Z]+ ", row) for row in log.splitlines())
    rows = daemon.archive().calls(Wanted(dnis="999", limit=100)).rows
    print(len(rows), "of", len(NAMES), "became calls")
    assert len(rows) >= 4, "some can be understood"
    for found in rows:
        row = daemon.cdr(found["ani"])
        told = json.dumps(row, ensure_ascii=False, default=str)
        assert not CONTROL.search(told) and row["dnis"] == "999"
        for trace in daemon.story(row["call"]):
            assert "forged" not in trace, "a field of its own"
    for command in (["cdr", "--ani", "652*"], ["calls"], ["bans"]):
        out = subprocess.run([AGNER, "--config", "config", *command], cwd=daemon.folder, capture_output=True, text=True)
        assert out.returncode == 0, out.stderr
        assert not CONTROL.search(out.stdout.replace("\n", "")) and "\u202e" not in out.stdout
