"""A daemon whose agents' phones log in, and for each test phones of makers we have nothing to do with.

A Way says which program a party uses, and how it speaks. All phones are on 127.0.0.1, or where their Way says; that is
a trunk, too: so they also call in.
"""

import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cli.demo.phones import Baresip
from engine.callflow.settings import bracketed
from engine.records import passwords
from tests.interop.linphone import Linphone
from tests.live import ear
from tests.live.floor import HOST, Daemon, until
from tests.live.phones import BARESIP_RTP
from tests.sip.peers import certificate

DAEMON_PORTS = itertools.count(13400, 2)  # SIP; the next one is for TLS; apart from the phones, who are many
PHONE_PORTS = itertools.count(15701, 2)
RTP_FROM = 38_000
AGENTS = (1001, 1002)  # their phones log in
OUT = "110"  # where lead_out() was called
RINGING_WITHIN, RING_FOR = "4s", "8s"  # tests/live has less, for phones that are silent; these may take their time
PASSWORD = "right-horse-battery"
ENCRYPTION = {
    "baresip": {"sdes": "srtp-mand", "may be": "srtp", "dtls": "dtls_srtp"},
    "linphone": {"sdes": "srtp", "dtls": "dtls"},
}

Phone = Baresip | Linphone


@dataclass(frozen=True)
class Way:
    program: str  # baresip, linphone
    transport: str = "udp"
    encryption: str = ""  # of the audio: sdes, dtls; "may be" takes what is offered
    proxy: str = ""  # host:port
    address: str = HOST

    def __str__(self) -> str:
        words = self.program, self.transport, self.encryption, "" if self.address == HOST else self.address
        return " ".join(word for word in words if word)


def settle(folder: Path, **changes: Any) -> Daemon:
    """A daemon that is ready to start, with a certificate of its own."""
    folder.mkdir(parents=True)
    files = certificate(folder, HOST)
    (folder / "both.pem").write_text("".join(Path(file).read_text() for file in files))  # as baresip wants it
    port = next(DAEMON_PORTS)
    sip = {"tls": {"port": port + 1, "certificate": files[0], "key": files[1], "authorities": files[0]}}
    changes["sip"] = sip | {"ringing within": RINGING_WITHIN} | changes.get("sip", {})
    # baresip 1.0 gives up where SHA-256 is offered, too
    changes["registrar"] = {"algorithms": ["MD5"], "keep alive": "5s", "gone after": 1}
    daemon = Daemon(folder / "daemon", port, RTP_FROM, **changes)
    staff = daemon.folder / "config" / "staff.yaml"
    written = yaml.safe_load(staff.read_text())
    written["queues"]["support"]["ring for"] = RING_FOR
    for agent in AGENTS:
        written["agents"][agent]["phone"] = "registered"
    staff.write_text(yaml.safe_dump(written, allow_unicode=True))
    for agent in AGENTS:
        passwords.set_password(daemon.folder / "var", "agner", str(agent), PASSWORD)
    return daemon


def lead_out(daemon: Daemon, trunk: str) -> None:
    """Whoever dials OUT speaks with 4711 over this trunk. Before the daemon starts."""
    plans = daemon.folder / "config" / "plans" / "main.yaml"
    written = yaml.safe_load(plans.read_text())
    written["numbers"][int(OUT)] = "out"
    written["plans"]["out"] = ["answer", {"transfer": f"trunk:{trunk}/4711", "ring for": "5s"}, "hang up"]
    plans.write_text(yaml.safe_dump(written, sort_keys=False))


class House:
    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self.daemon, self._folder = daemon, folder
        self._phones = ExitStack()
        self._certificate = daemon.folder.parent / "both.pem"

    def agent(self, way: Way, agent: str = "1001", says: int = ear.AGENT, **how: Any) -> Phone:
        """The agent's phone, logged in and ready for calls."""
        port = self.daemon.port + (way.transport == "tls")
        phone = self.phone(way, agent, says, registrar=f"{bracketed(way.address)}:{port}", password=PASSWORD, **how)
        self.daemon.seat(agent)
        until(f"{way} of {agent} is ready\n{self.daemon.log()}", lambda: self.daemon.agent(agent)["state"] == "READY")
        return phone

    def call(self, way: Way, ani: str, number: str, says: int = ear.CALLER, **how: Any) -> Phone:
        """A caller who dials at once."""
        phone = self.phone(way, ani, says, **how)
        port = self.daemon.port + (way.transport == "tls")
        phone.dial(f"sip:{number}@{way.proxy or f'{bracketed(way.address)}:{port}'};transport={way.transport}")
        return phone

    def phone(self, way: Way, user: str, says: int, **how: Any) -> Phone:
        how = {"certificate": self._certificate, **how}
        how |= {"says": says, "transport": way.transport, "address": way.address}
        how["encryption"] = ENCRYPTION[way.program].get(way.encryption, "")
        if "registrar" in how:
            how["proxy"] = way.proxy
        port = how.pop("port", 0) or next(PHONE_PORTS)
        if way.program == "linphone":
            return self._phones.enter_context(Linphone(self._folder, user, port, **how))
        return self._phones.enter_context(Baresip(self._folder, user, port, rtp_ports=BARESIP_RTP, **how))

    def talk_for(self, seconds: float, state: str = "TALKING") -> None:
        """Until the call has been in talk for so long."""
        rows = self.daemon.until_state
        until(f"{seconds:g} s {state}", lambda: any(row["state_s"] > seconds for row in rows(state)))

    def row(self, agent: str = "1001") -> dict[str, Any]:
        """What is known of the agent's phone that came last: one of an earlier test may not have logged out."""
        return dict([row for row in self.daemon.ask("phones") if row["agent"] == agent][-1])

    def close(self) -> None:
        self._phones.close()


def heard(phone: Phone) -> set[int]:
    """The tones that came in at this phone, whose call is over. baresip begins a file with each change of the call."""
    files = until(f"the sound at {phone.user}", phone.heard)
    return set().union(*(ear.Sound.read(file).tones() for file in files))
