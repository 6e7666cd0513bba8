"""`floor`: the real daemon at rest, and phones to call it with. However a test ends, its phones are taken away, its
agents logged out, and then nothing may be left in the daemon.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cli.demo.phones import Baresip, Sipp
from tests.live import ear
from tests.live.floor import HOST, Daemon
from tests.sip.peers import got, invite, pause, reply, request, scenario, sdp
from tests.sip.peers import in_dialog_ok as ok

CALLER_PORTS = itertools.count(15300, 2)
MEDIA_PORTS = itertools.count(32000, 8)
DAEMON_PORTS = itertools.count(15060, 2)
RTP_PORTS = itertools.cycle((30000, 31000))
AGENT_PORTS = {"1001": 15101, "1002": 15102, "1003": 15103, "1004": 15104}

Start = Callable[..., Daemon]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.live)


class Floor:
    """A daemon, and the phones of one test."""

    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self.daemon, self._folder = daemon, folder
        self._phones = ExitStack()

    # ---- baresip

    def agent(self, agent: str = "1001", says: int = ear.AGENT, **how: Any) -> Baresip:
        """The agent's phone, ready for calls."""
        phone = self.phone(agent, AGENT_PORTS[agent], says, **how)
        self.daemon.seat(agent)
        return phone

    def caller(self, ani: str, says: int = ear.CALLER, **how: Any) -> Baresip:
        return self.phone(ani, next(CALLER_PORTS), says, **how)

    def call(self, ani: str, number: str, says: int = ear.CALLER, **how: Any) -> Baresip:
        """A caller who dials at once."""
        phone = self.caller(ani, says, **how)
        phone.dial(self.daemon.uri(number, how.get("transport", "udp")))
        return phone

    def phone(self, user: str, port: int, says: int = ear.AGENT, **how: Any) -> Baresip:
        return self._phones.enter_context(Baresip(self._folder, user, port, says=says, **how))

    # ---- SIPp

    def sipp_calls(self, number: str, ani: str, *steps: str, calls: int = 1, **how: Any) -> Sipp:
        """Dials; `steps` go on after the INVITE."""
        text = scenario(*(steps if "INVITE sip:" in steps[0] else (invite(), *steps)))
        text = text.replace("sip:100@", f"sip:{number}@").replace("+15551234", ani)
        to = f"{HOST}:{self.daemon.port}"
        return self._sipp(f"caller-{ani}", text, next(CALLER_PORTS), to=to, calls=calls, **how)

    def sipp_phone(self, port: int, *steps: str, calls: int | None = 1, **how: Any) -> Sipp:
        """Waits for calls."""
        return self._sipp(f"phone-{port}", scenario(*steps), port, calls=calls, **how)

    def _sipp(self, name: str, text: str, port: int, options: tuple[str, ...] = (), **how: Any) -> Sipp:
        options = ("-mp", str(next(MEDIA_PORTS)), "-trace_msg", "-message_file", "messages.log", *options)
        return self._phones.enter_context(Sipp(self._folder, name, text, port, options=options, **how))

    # ---- the end

    def close(self) -> None:
        self._phones.close()


def messages(sipp: Sipp) -> list[tuple[float, str, str]]:
    """What SIPp sent and received: seconds of the day, "sent" or "received", the first line."""
    log = (sipp.folder / "messages.log").read_text(errors="replace")
    found = re.findall(r"^-{40,} \S+ (\d+):(\d+):([\d.]+)\n\w+ message (sent|received)[^\n]*\n\n([^\n]*)", log, re.M)
    return [(3600 * int(h) + 60 * int(m) + float(s), way, line) for h, m, s, way, line in found]


def when(sipp: Sipp, way: str, begin: str) -> float:
    """When the first message that begins so went this way."""
    return next(at for at, direction, line in messages(sipp) if direction == way and line.startswith(begin))


# What well-behaved SIPp parties do.
ANSWERED = (got(100, True), got(180, True), got(200), request("ACK"))
STAYS = (*ANSWERED, got("BYE"), ok())
ANSWERS = (got("INVITE"), reply(180), reply(200, sdp()), got("ACK"))


def hangs_up_after(ms: int) -> tuple[str, ...]:
    return (*ANSWERED, pause(ms), request("BYE", 2), got(200))


def _start(folder: Path, **changes: Any) -> Daemon:
    daemon = Daemon(folder, next(DAEMON_PORTS), next(RTP_PORTS), **changes)
    daemon.start()
    return daemon


def _warm_up(daemon: Daemon, folder: Path) -> None:
    """One call all the way, so that everything is open that opens with the first."""
    floor = Floor(daemon, folder)
    daemon.seat("1001")
    floor.sipp_phone(AGENT_PORTS["1001"], *ANSWERS, got("BYE"), ok())
    floor.sipp_calls("101", "warm", *ANSWERED, pause(1200), request("BYE", 2), got(200)).wait()
    daemon.cdr("warm")
    floor.close()
    daemon.ask("agent_logout", id="1001")
    daemon.until_clean()
    daemon.note_descriptors()


@pytest.fixture(scope="session")
def shared_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = _start(tmp_path_factory.mktemp("daemon"))
    try:
        _warm_up(daemon, tmp_path_factory.mktemp("warm-up"))
        yield daemon
    finally:
        daemon.close()


@pytest.fixture
def floor(shared_daemon: Daemon, tmp_path: Path) -> Iterator[Floor]:
    """Every test but those that start a daemon of their own."""
    floor = Floor(shared_daemon, tmp_path)
    try:
        yield floor
    finally:
        floor.close()
        for row in shared_daemon.ask("agents"):
            shared_daemon.ask("agent_logout", id=row["agent"])
    shared_daemon.until_clean()


@pytest.fixture
def make_floor(tmp_path: Path) -> Iterator[Callable[[Daemon], Floor]]:
    """Phones for a daemon that the test started."""
    floors: list[Floor] = []

    def make(daemon: Daemon) -> Floor:
        floors.append(Floor(daemon, tmp_path))
        return floors[-1]

    yield make
    for floor in floors:
        floor.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start(**changes of switch.yaml): a daemon for this test alone."""
    daemons: list[Daemon] = []

    def start_one(**changes: Any) -> Daemon:
        daemons.append(_start(tmp_path / f"daemon-{len(daemons)}", **changes))
        return daemons[-1]

    yield start_one
    for daemon in daemons:
        daemon.close()
        daemon.check_log()
