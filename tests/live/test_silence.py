"""A far side that is gone without a word is over; one that is silent because it has nothing to say is not."""

import signal
import socket
import struct
import threading
import time

import pytest

from tests.live.floor import HOST, until
from tests.live.phones import AGENT_PORTS, ANSWERED, ANSWERS, STAYS, messages
from tests.sip.peers import got, invite, sdp
from tests.sip.peers import in_dialog_ok as ok

TIMEOUT_S, ON_HOLD_S = 2.0, 6.0
LATE_S = 3.0  # the switch looks once a second, and this machine may be busy
SHORT = {"rtp timeout": "2s", "rtp timeout on hold": "6s"}
ENGINES_SSRC = 8  # where it stands in RTP


@pytest.fixture
def hall(start, make_floor):
    """A daemon that is quick to give up, and phones for it."""
    floor = make_floor(start(sip=SHORT))
    yield floor
    floor.close()
    floor.daemon.until_clean()


class Whisperer:
    """A caller's media socket from which comes only what is not audio: `kind` is rtcp (a receiver report, RFC 3550
    section 6.4.2) or cn (comfort noise, RFC 3389), once a second."""

    def __init__(self, kind: str) -> None:
        self.kind, self.n_sent = kind, 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._whisper)
        self._thread.start()

    def _whisper(self) -> None:
        packet, engine = self._socket.recvfrom(2000)
        (ssrc,) = struct.unpack_from("!I", packet, ENGINES_SSRC)
        while not self._is_over.wait(1.0):
            self.n_sent += 1
            if self.kind == "rtcp":
                head, port = struct.pack("!BBHII", 0x81, 201, 7, 99, ssrc), engine[1] + 1
                self._socket.sendto(head + struct.pack("!IIIII", 0, self.n_sent, 0, 0, 0), (HOST, port))
            else:
                self._socket.sendto(struct.pack("!BBHIIB", 0x80, 13, self.n_sent, self.n_sent * 8000, 99, 60), engine)

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()
        self._socket.close()


@pytest.fixture
def whisperers():
    made = []

    def make(kind):
        made.append(Whisperer(kind))
        return made[-1]

    yield make
    for one in made:
        one.close()


def waits(floor, ani, body):
    """A caller in the queue whose SDP is so."""
    return floor.sipp_calls("100", ani, invite(body), *STAYS)


@pytest.mark.timeout(60)
def test_callers_who_wait(hall, whisperers):
    daemon, began = hall.daemon, time.monotonic()
    gone = waits(hall, "6501", sdp())
    held = {
        "6502": sdp(direction="inactive"),
        "6503": sdp(direction="sendonly"),
        "6504": sdp().replace("[media_ip]", "0.0.0.0"),
    }
    for ani, body in held.items():
        waits(hall, ani, body)
    alive = {"6505": "rtcp", "6506": "cn"}
    for ani, kind in alive.items():
        waits(hall, ani, sdp(port=str(whisperers(kind).port)))
    daemon.until_state("QUEUED", 4)
    cdr = daemon.cdr("6501")
    assert TIMEOUT_S <= time.monotonic() - began <= TIMEOUT_S + LATE_S
    assert (cdr["disposition"], cdr["ended_by"], cdr["status"]) == ("abandoned", "no_audio", 200)
    assert [(one["kind"], one["outcome"]) for one in cdr["segments"]] == [("queue", "abandoned")]
    gone.wait()
    assert any(way == "received" and line.startswith("BYE ") for _, way, line in messages(gone))
    assert {row["ani"] for row in daemon.ask("calls")} == {*held, *alive}, "on hold, or heard of"
    for ani in held:
        cdr = daemon.cdr(ani)
        assert cdr["ended_by"] == "no_audio", ani
        assert ON_HOLD_S <= time.monotonic() - began <= ON_HOLD_S + LATE_S, ani
    assert {row["ani"] for row in daemon.ask("calls")} == set(alive)
    for row in daemon.ask("calls"):
        daemon.ask("hangup", id=row["call"])
    for ani in alive:
        assert daemon.cdr(ani)["disposition"] == "hung_up"


def test_an_agents_phone_that_went_silent_and_one_that_did_not(hall):
    daemon = hall.daemon
    hall.sipp_phone(AGENT_PORTS["1001"], *ANSWERS, got("BYE"), ok())
    daemon.seat("1001")
    lost = hall.call("6511", "100")
    daemon.until_state("TALKING")
    hall.agent("1002")
    good = hall.call("6512", "100")
    cdr = daemon.cdr("6511")
    assert (cdr["disposition"], cdr["ended_by"], cdr["agent"]) == ("answered", "no_audio", "1001")
    assert [one["outcome"] for one in cdr["segments"] if one["kind"] == "talk"] == ["no_audio"]
    lost.wait_for("CALL_CLOSED")
    until("the agent's wrap-up is over", lambda: daemon.agent("1001")["state"] == "READY")
    hall.talk_for(TIMEOUT_S + LATE_S)
    assert [row["ani"] for row in daemon.ask("calls")] == ["6512"], "both speak"
    good.hang_up()
    assert daemon.cdr("6512")["ended_by"] == "caller"


def test_a_caller_who_went_silent_in_a_talk(hall):
    daemon = hall.daemon
    phone = hall.agent("1001")
    hall.sipp_calls("100", "6521", *ANSWERED, got("BYE"), ok())
    cdr = daemon.cdr("6521")
    assert (cdr["disposition"], cdr["ended_by"], cdr["agent"]) == ("answered", "no_audio", "1001")
    phone.wait_for("CALL_CLOSED")
    until("the agent's wrap-up is over", lambda: daemon.agent("1001")["state"] == "READY")


def test_a_daemon_that_stood_still_blames_nobody(hall):
    """The process is stopped for longer than the limit, as a virtual machine may be; nobody is silent meanwhile."""
    daemon = hall.daemon
    hall.agent("1001")
    calling = hall.call("6531", "100")
    hall.talk_for(0.5)
    daemon.signal(signal.SIGSTOP)
    time.sleep(TIMEOUT_S + 2)
    daemon.signal(signal.SIGCONT)
    hall.talk_for(2 * TIMEOUT_S + 4)
    calling.hang_up()
    assert daemon.cdr("6531")["ended_by"] == "caller"
