"""Callers, phones and the conductor act at random moments: whatever crosses, each leg ends once and PJSIP keeps none.

SIPp follows a script; these peers do what they feel like. Nothing is lost or sent again (loopback, one process).
"""

import heapq
import itertools
import random
import socket
import time
from collections.abc import Callable

import pytest

from engine.callflow import events as e
from engine.callflow import settings
from tests.sip.peers import CALLER, HOST, PORT, Ear, sdp

N_CALLS, RATE = 300, 150
Headers = dict[str, str]


class Peer:
    """A SIP peer on one UDP socket, with timers."""

    def __init__(self, rnd: random.Random) -> None:
        self.rnd = rnd
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind((HOST, 0))
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        body = sdp(port="9").replace("[local_ip]", HOST).replace("[media_ip]", HOST)
        self.body = body.replace("\n", "\r\n")

    def within(self, longest_s: float, act: Callable[[], None]) -> None:
        due = time.monotonic() + self.rnd.random() * longest_s
        heapq.heappush(self._timers, (due, next(self._order), act))

    def send(self, *lines: str, body: str = "") -> None:
        kind = ["Content-Type: application/sdp"] if body else []
        text = "\r\n".join([*lines, *kind, f"Content-Length: {len(body)}", "", body])
        self._socket.sendto(text.encode(), (HOST, PORT))

    def reply(self, status: int, headers: Headers, body: str = "") -> None:
        to = headers["To"] if "tag=" in headers["To"] else headers["To"] + ";tag=peer"
        kept = [f"{name}: {headers[name]}" for name in ("Via", "From", "Call-ID", "CSeq")]
        self.send(f"SIP/2.0 {status} Reply", *kept, f"To: {to}", f"Contact: <sip:p@{HOST}:{self.port}>", body=body)

    def turn(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()
        while True:
            try:
                head = self._socket.recv(65535).decode(errors="replace").partition("\r\n\r\n")[0]
            except BlockingIOError:
                return
            first, *rest = head.split("\r\n")
            self.heard(first, dict(line.split(": ", 1) for line in reversed(rest) if ": " in line))

    def idle(self) -> bool:
        return not self._timers

    def heard(self, first: str, headers: Headers) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._socket.close()


class Phones(Peer):
    """Ring or not, then answer or refuse; on a CANCEL, answer all the same three times in ten."""

    def __init__(self, rnd: random.Random) -> None:
        super().__init__(rnd)
        self.invites: dict[str, Headers] = {}  # not yet answered

    def heard(self, first: str, headers: Headers) -> None:
        call = headers["Call-ID"]
        if first.startswith("INVITE"):
            self.invites[call] = headers
            if self.rnd.random() < 0.9:
                self.within(0.02, lambda: self.finish(call, 180))
            self.within(0.25, lambda: self.finish(call, self.rnd.choice((200, 200, 200, 200, 486, 603, 404))))
        elif first.startswith("CANCEL"):
            self.reply(200, headers)
            self.finish(call, 200 if self.rnd.random() < 0.3 else 487)
        elif first.startswith("BYE"):
            self.reply(200, headers)

    def finish(self, call: str, status: int) -> None:
        if call in self.invites:
            headers = self.invites[call] if status < 200 else self.invites.pop(call)
            self.reply(status, headers, self.body if status == 200 else "")


class Callers(Peer):
    """Call, and within half a second hang up: CANCEL or BYE, as it is."""

    def __init__(self, rnd: random.Random) -> None:
        super().__init__(rnd)
        self.state: dict[str, str] = {}
        self.to: dict[str, str] = {}

    def invite(self) -> None:
        call = f"storm-{len(self.state)}"
        self.state[call], self.to[call] = "calling", f"<sip:100@{HOST}>"
        self.request(call, "INVITE", 1, body=self.body)
        self.within(0.5, lambda: self.hang_up(call))

    def request(self, call: str, method: str, cseq: int, branch: str = "", body: str = "") -> None:
        self.send(
            f"{method} sip:100@{HOST}:{PORT} SIP/2.0",
            f"Via: SIP/2.0/UDP {HOST}:{self.port};branch=z9hG4bK{call}{branch}",
            f"From: <sip:1@{HOST}:{self.port}>;tag=1",
            f"To: {self.to[call]}",
            f"Call-ID: {call}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:1@{HOST}:{self.port}>",
            "Max-Forwards: 70",
            body=body,
        )

    def hang_up(self, call: str) -> None:
        if self.state[call] == "calling":
            self.state[call] = "cancelled"
            self.request(call, "CANCEL", 1)
        elif self.state[call] == "answered":
            self.bye(call)

    def bye(self, call: str) -> None:
        self.state[call] = "gone"
        self.request(call, "BYE", 2, "bye")

    def heard(self, first: str, headers: Headers) -> None:
        call = headers["Call-ID"]
        if first.startswith("BYE"):
            self.state[call] = "gone"
            self.reply(200, headers)
        elif "INVITE" in headers["CSeq"] and (status := int(first.split()[1])) >= 200:
            self.to[call] = headers["To"]
            self.request(call, "ACK", 1, "ack" if status == 200 else "")
            if status != 200:
                self.state[call] = "gone"
            elif self.state[call] == "cancelled":
                self.bye(call)
            elif self.state[call] == "calling":
                self.state[call] = "answered"


class Conductor:
    """A rash one: answers early or late, dials, and takes its word back now and then."""

    def __init__(self, ear: Ear, phones: Phones, rnd: random.Random) -> None:
        self.ear, self.phones, self.rnd = ear, phones, rnd
        self.news: list[tuple[str, object]] = []
        self.caller: dict[str, int] = {}
        self.called: dict[str, int] = {}
        ear.on_post = lambda call, event: self.news.append((call, event))

    def turn(self) -> None:
        while self.news:
            self.act(*self.news.pop(0))

    def act(self, call: str, event: object) -> None:
        sip, chance = self.ear.endpoint, self.rnd.random()
        if isinstance(event, e.CallArrived):
            self.caller[call] = event.leg
            if chance < 0.1:
                return sip.reject(event.leg, 503, 3)
            if chance < 0.4:
                sip.answer(event.leg)
            self.called[call] = sip.dial(call, 1, f"sip:p@{HOST}:{self.phones.port}", CALLER, {})
            if chance > 0.8:
                sip.hang_up(self.called[call], elsewhere=True)
        elif isinstance(event, e.CalledAnswered):
            sip.answer(self.caller[call])
        elif isinstance(event, e.CallerGone) and call in self.called:
            sip.hang_up(self.called[call])
        elif isinstance(event, e.CalledGone | e.CalledRefused):
            sip.hang_up(self.caller[call])


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_crosses_each_leg_ends_once(seed):
    rnd, ear = random.Random(seed), Ear()
    ear.start(settings.Limits(max_calls=100))
    phones, callers = Phones(rnd), Callers(rnd)
    conductor = Conductor(ear, phones, rnd)
    started = time.monotonic()

    def turn() -> bool:
        if len(callers.state) < N_CALLS and time.monotonic() - started > len(callers.state) / RATE:
            callers.invite()
        for each in (phones, callers, conductor):
            each.turn()
        quiet = phones.idle() and callers.idle() and not ear.endpoint.n_closing()
        return len(callers.state) == N_CALLS and quiet and not conductor.news

    ear.until(turn, 30)
    assert ear.endpoint.n_legs() == 0
    ended = [event.leg for event in ear.all(e.LegEnded)]
    assert sorted(ended) == sorted([*conductor.caller.values(), *conductor.called.values()])
    unclear = [event.leg for event in ear.all(e.LegEnded) if not event.is_clear]
    assert unclear and sorted(event.leg for event in ear.all(e.LegCleared)) == sorted(unclear)
    assert set(callers.state.values()) == {"gone"} and not phones.invites
    for call in conductor.caller:
        story = ear.story(call)
        once = ("CallArrived", "CallerAnswered", "CallerGone", "CalledRinging", "CalledAnswered", "CalledRefused")
        assert all(story.count(name) <= 1 for name in once), story
        assert not ("CalledRefused" in story and ("CalledAnswered" in story or "CalledGone" in story)), story
    assert not ear.all(e.CallFailed)
    ear.endpoint.close()
    phones.close()
    callers.close()
