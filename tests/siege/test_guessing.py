"""Passwords guessed at and users asked for, by datagrams to the real daemon (security.md S3, S4)."""

import json
import re
import select
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.live.floor import Daemon, until
from tests.siege.ground import besiege
from tests.sip.phones import Phone, ha1

AGENT, NOBODY = "1001", "4711"
BAN_AFTER = 50  # the switch's own
APART_MS = 1.0
GUESSER = "127.0.0.66"


class Waiting:
    """In place of the room that a Phone of tests/sip shares a thread with: the daemon has its own."""

    def __init__(self) -> None:
        self.endpoint = self
        self.phone: Phone | None = None

    def poll(self, seconds: float) -> None:
        assert self.phone
        select.select([self.phone._socket], [], [], seconds)


@pytest.fixture
def registrar(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """registrar(**rules of `strangers`): a daemon that the agent's phone logs in to."""
    daemons: list[Daemon] = []

    def start(**rules: Any) -> Daemon:
        daemon = besiege(tmp_path / "daemon", sip={"strangers": rules})
        staff = daemon.folder / "config" / "staff.yaml"
        written = yaml.safe_load(staff.read_text())
        written["agents"][int(AGENT)]["phone"] = "registered"
        staff.write_text(yaml.safe_dump(written))
        passwords = daemon.folder / "var" / "phone-passwords.json"
        passwords.parent.mkdir()
        passwords.touch(0o600)
        passwords.write_text(json.dumps({AGENT: {"realm": "agner", "ha1": ha1(AGENT)}}))
        daemons.append(daemon)
        daemon.start()
        return daemon

    yield start
    for daemon in daemons:
        daemon.until_clean()
        daemon.close()


@pytest.fixture
def phone() -> Iterator[Callable[..., Phone]]:
    made: list[Phone] = []

    def make(daemon: Daemon, **how: Any) -> Phone:
        room = Waiting()
        room.phone = Phone(room, to=daemon.port, **how)  # type: ignore[arg-type]
        made.append(room.phone)
        return room.phone

    yield make
    for one in made:
        one.close()


# what is a request's own, or drawn for each answer
OWN = re.compile(r'branch=\S+|rport=\d+|tag=\S+|Call-ID: \S+|CSeq: \d+|nonce="[^"]*"')


@pytest.mark.parametrize("n", [200, pytest.param(5_000, marks=pytest.mark.siege)])
def test_nobody_learns_who_exists(registrar, phone, n):
    """Without a password and with a wrong one: the answers are the same but for the name that was asked, byte by byte,
    and take the same time."""
    daemon = registrar(**{"ban after": 0, "requests per second": 10_000, "requests at once": 100_000})
    for with_password in (False, True):
        asked = {user: phone(daemon, ip=GUESSER, user=user, password="wrong") for user in (AGENT, NOBODY)}
        for one in asked.values():
            one.take_challenge(one.send()[1])
        answers: dict[str, set[str]] = {user: set() for user in asked}
        took: dict[str, list[float]] = {user: [] for user in asked}
        for _ in range(n):
            for user, one in asked.items():
                began = time.perf_counter()
                status, text = one.send(authorized=with_password)
                took[user].append((time.perf_counter() - began) * 1000)
                assert status == 401 and "stale" not in text
                answers[user].add(OWN.sub("", text).replace(user, "USER"))
        assert len(answers[AGENT]) == 1 and answers[AGENT] == answers[NOBODY]
        p50 = {user: statistics.median(each) for user, each in took.items()}
        print(f"{n} each, {'wrong' if with_password else 'no'} password: p50 of known and unknown {p50} ms")
        assert abs(p50[AGENT] - p50[NOBODY]) < APART_MS


@pytest.mark.parametrize("n", [300, pytest.param(10_000, marks=pytest.mark.siege)])
@pytest.mark.timeout(200)
def test_who_guesses_is_banned_and_nobody_else(registrar, phone, n):
    daemon = registrar(**{"requests per second": 1000, "requests at once": 1000, "ban for": "5m"})
    guesser, other = phone(daemon, ip=GUESSER, password="wrong"), phone(daemon, ip="127.0.0.67")
    guesser.take_challenge(guesser.send()[1])
    for _ in range(BAN_AFTER - 1):
        assert guesser.send(authorized=True)[0] == 401
    began = time.monotonic()
    for at in range(BAN_AFTER, n + 1):
        guesser.transmit(guesser.request(authorized=True))
        if at % 100 == 0:
            time.sleep(0.01)  # so that none is lost on the way
    took_s = time.monotonic() - began
    assert guesser.answer(0.5)[0] in (0, 401), "the last that is heard"
    assert guesser.answer(0.5) == (0, ""), "banned: neither yes nor no"
    assert other.register()[0] == 200
    (ban,) = daemon.ask("bans")["bans"]
    assert ban["source"] == GUESSER
    guesser.password = phone(daemon).password
    assert guesser.send(authorized=True)[0] == 0, "the right one is not heard either"
    assert daemon.log().count("wrong password") == BAN_AFTER
    print(f"{n} guesses, {BAN_AFTER} of them heard; {n - BAN_AFTER} in {took_s:.1f} s")
    assert daemon.ask("ban_lift", source=GUESSER)
    assert guesser.register()[0] == 200


def test_a_ban_ends_by_itself(registrar, phone):
    daemon = registrar(**{"ban after": 5, "ban for": "2s"})
    guesser = phone(daemon, ip=GUESSER, password="wrong")
    guesser.take_challenge(guesser.send()[1])
    for _ in range(5):
        guesser.send(authorized=True)
    assert daemon.ask("bans")["bans"]
    guesser.password = phone(daemon).password
    until("no ban", lambda: not daemon.ask("bans")["bans"])
    assert guesser.register()[0] == 200
