"""The far sides of the live suite: baresip phones with a tone each, and SIPp for what no good phone does."""

import itertools
import re
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cli.demo.phones import Baresip, Sipp
from tests.live import ear
from tests.live.floor import HOST, Daemon, until
from tests.sip.peers import got, invite, pause, reply, request, scenario, sdp
from tests.sip.peers import in_dialog_ok as ok

CALLER_PORTS = itertools.count(15300, 2)
MEDIA_PORTS = itertools.count(32000, 8)  # of SIPp
BARESIP_RTP = "33000-33999"
AGENT_PORTS = {"1001": 15101, "1002": 15102, "1003": 15103, "1004": 15104}  # as in config/staff.yaml
DESK_PORT = 15131  # of 3001 to 3006


class Floor:
    """A daemon, and the phones of one test."""

    agent_ports: Mapping[str, int] = AGENT_PORTS

    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self.daemon, self._folder = daemon, folder
        self._phones = ExitStack()

    # ---- baresip

    def agent(self, agent: str = "1001", says: int = ear.AGENT, **how: Any) -> Baresip:
        """The agent's phone, ready for calls."""
        phone = self.phone(agent, self.agent_ports[agent], says, **how)
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
        return self._phones.enter_context(Baresip(self._folder, user, port, says=says, rtp_ports=BARESIP_RTP, **how))

    def talk_for(self, seconds: float, state: str = "TALKING") -> None:
        """Until one call has been in talk for so long."""
        until(f"{seconds:g} s {state}", lambda: any(row["state_s"] > seconds for row in self.daemon.until_state(state)))

    # ---- SIPp

    def sipp_calls(self, number: str, ani: str, *steps: str, calls: int = 1, **how: Any) -> Sipp:
        """Dials; `steps` go on after the INVITE."""
        text = scenario(*(steps if "INVITE sip:" in steps[0] else (invite(), *steps)))
        text = text.replace("sip:100@", f"sip:{number}@").replace("+15551234", ani)
        how.setdefault("to", f"{HOST}:{self.daemon.port}")
        return self._sipp(f"caller-{ani}", text, next(CALLER_PORTS), calls=calls, **how)

    def sipp_phone(self, port: int, *steps: str, calls: int | None = 1, **how: Any) -> Sipp:
        """Waits for calls."""
        return self._sipp(f"phone-{port}", scenario(*steps), port, calls=calls, **how)

    def _sipp(self, name: str, text: str, port: int, options: tuple[str, ...] = (), **how: Any) -> Sipp:
        options = ("-mp", str(next(MEDIA_PORTS)), "-trace_msg", "-message_file", "messages.log", *options)
        return self._phones.enter_context(Sipp(self._folder, name, text, port, options=options, **how))

    # ---- nobody

    def deaf_caller(self, number: str, source: str = HOST) -> str:
        """Sends an INVITE and never anything again, whatever comes; the caller's number."""
        line = self._phones.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        line.bind((source, 0))
        at, ani = f"{source}:{line.getsockname()[1]}", f"69{line.getsockname()[1]}"
        body = f"v=0\r\no=- 1 1 IN IP4 {source}\r\ns=-\r\nc=IN IP4 {source}\r\nt=0 0\r\nm=audio 9 RTP/AVP 8\r\n"
        head = f"INVITE sip:{number}@{HOST} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{ani}\r\n"
        head += f"From: <sip:{ani}@{at}>;tag=1\r\nTo: <sip:{number}@{HOST}>\r\nCall-ID: deaf-{ani}\r\n"
        head += f"CSeq: 1 INVITE\r\nContact: <sip:{ani}@{at}>\r\nMax-Forwards: 70\r\n"
        head += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
        line.sendto((head + body).encode(), (HOST, self.daemon.port))
        return ani

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


def heard(phone: Baresip) -> ear.Sound:
    """What came in at this phone, whose call is over."""
    return ear.Sound.read(until(f"the sound at {phone.user}", phone.heard)[0])


# What well-behaved SIPp parties do.
ANSWERED = (got(100, True), got(180, True), got(200), request("ACK"))
STAYS = (*ANSWERED, got("BYE"), ok())
ANSWERS = (got("INVITE"), reply(180), reply(200, sdp()), got("ACK"))


def hangs_up_after(ms: int) -> tuple[str, ...]:
    return (*ANSWERED, pause(ms), request("BYE", 2), got(200))
