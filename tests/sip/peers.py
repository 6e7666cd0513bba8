"""The far sides of the SIP room's tests: real SIPp, told by a list of short steps, and an ear for the events."""

import os
import re
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from engine.callflow import settings
from engine.callflow.plan import Caller

HOST, PORT = "127.0.0.1", 18060
CALLER = Caller(ani="+4930123456", dnis="100", trunk="carrier", name="Ada Lovelace")


def sdp(codecs: str = "8 101", direction: str = "sendrecv", port: str = "[media_port]") -> str:
    return f"""v=0
o=- 1 {time.monotonic_ns()} IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio {port} RTP/AVP {codecs}
a=rtpmap:101 telephone-event/8000
a={direction}
"""


def invite(body: str | None = None, cseq: int = 1) -> str:
    """An INVITE to 100; from the second on within the dialog."""
    body = sdp() if body is None else body
    target = "[next_url]" if cseq > 1 else "sip:100@[remote_ip]:[remote_port]"
    peer = "[peer_tag_param]" if cseq > 1 else ""
    return _send(
        f"""INVITE {target} SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: "Grace Hopper" <sip:+15551234@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:100@[remote_ip]:[remote_port]>{peer}
Call-ID: [call_id]
CSeq: {cseq} INVITE
Contact: <sip:uac@[local_ip]:[local_port];transport=[transport]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

{body}""",
        'retrans="500"',
    )


def request(method: str, cseq: int = 1) -> str:
    """A request of the caller inside the dialog."""
    return _send(
        f"""{method} [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: "Grace Hopper" <sip:+15551234@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:100@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: {cseq} {method}
Max-Forwards: 70
Content-Length: 0

""",
        "" if method == "ACK" else 'retrans="500"',
    )


def info(key: str, cseq: int) -> str:
    """A key by SIP INFO."""
    body = f"Content-Type: application/dtmf-relay\nContent-Length: [len]\n\nSignal={key}\nDuration=160\n"
    return request("INFO", cseq).replace("Content-Length: 0\n\n", body)


def cancel() -> str:
    return _send(
        """CANCEL sip:100@[remote_ip]:[remote_port] SIP/2.0
[last_Via:]
From: "Grace Hopper" <sip:+15551234@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:100@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 CANCEL
Max-Forwards: 70
Content-Length: 0

"""
    )


def bye_from_phone() -> str:
    return _send(
        """BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:phone@[local_ip]:[local_port]>;tag=[call_number]
To:[$1]
Call-ID: [call_id]
CSeq: 1 BYE
Max-Forwards: 70
Content-Length: 0

""",
        'retrans="500"',
    )


def reply(status: int, body: str = "", header: str = "", to_invite: bool = False) -> str:
    """The answer to the last request, or after a CANCEL `to_invite`; with a To tag from 180 on."""
    tag = ";tag=[call_number]" if status > 100 else ""
    cseq = "CSeq:[$2]" if to_invite else "[last_CSeq:]"
    content = f"Content-Type: application/sdp\nContent-Length: [len]\n\n{body}" if body else "Content-Length: 0\n\n"
    return _send(
        f"""SIP/2.0 {status} Reply
[last_Via:]
[last_From:]
[last_To:]{tag}
[last_Call-ID:]
{cseq}
{header}Contact: <sip:phone@[local_ip]:[local_port];transport=[transport]>
{content}""",
        'retrans="500"' if status == 200 and body else "",
    )


def in_dialog_ok() -> str:
    """200 to a request that already has both tags."""
    return _send(
        """SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

"""
    )


def got(what: int | str, optional: bool = False, check: str = "") -> str:
    """Wait for a status or a method; `check` is a regular expression that the message must match."""
    kind = f'response="{what}"' if isinstance(what, int) else f'request="{what}"'
    more = ' optional="true"' if optional else ""
    action = f'<ereg regexp="{check}" search_in="msg" check_it="true" assign_to="9"/>' if check else ""
    if what == "INVITE":
        action += '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="1"/>'
        action += '<ereg regexp=".*" search_in="hdr" header="CSeq:" assign_to="2"/>'
    return f'<recv {kind} rrs="true"{more}>{action and f"<action>{action}</action>"}</recv>'


def pause(ms: int) -> str:
    return f'<pause milliseconds="{ms}"/>'


def scenario(*steps: str) -> str:
    """The steps as SIPp reads them."""
    text = "".join(steps)
    used = "".join(f'<Reference variables="{v}"/>' for v in ("1", "2", "9") if f'assign_to="{v}"' in text)
    return f'<?xml version="1.0" encoding="ISO-8859-1"?><scenario name="t">{text}{used}</scenario>'


def _send(text: str, attributes: str = "") -> str:
    return f"<send {attributes}><![CDATA[\n{text}\n]]></send>"


class Sipp:
    """One SIPp process that runs a scenario."""

    def __init__(
        self, folder: Path, port: int, *steps: str, n: int = 1, rate: int = 10, ip: str = HOST, udp: bool = True
    ):
        path = folder / f"{port}.xml"
        path.write_text(scenario(*steps))
        self.log = folder / f"{port}.log"
        command = [
            "sipp",
            f"{HOST}:{PORT}",
            "-sf",
            path,
            "-i",
            ip,
            "-p",
            port,
            "-mi",
            ip,
            "-mp",
            port + 2,
            "-m",
            n,
            "-l",
            30,
        ]
        command += ["-r", rate, "-nostdin", "-timeout", "50", "-timeout_error", "-t", "u1" if udp else "t1"]
        command += ["-trace_err", "-error_file", self.log, "-trace_msg", "-message_file", folder / f"{port}.msg"]
        self.process = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
        )
        self.port = port
        self.messages = folder / f"{port}.msg"

    def listening(self) -> bool:
        """It can be called."""
        return f":{self.port:04X} " in Path("/proc/net/udp").read_text()

    def done(self) -> bool:
        return self.process.poll() is not None

    def passed(self) -> bool:
        """The scenario went through, every call of it."""
        if self.process.wait(1) != 0:
            print(self.log.read_text() if self.log.exists() else "", self.messages.read_text()[-6000:])
        return self.process.returncode == 0

    def sent_and_received(self) -> str:
        return self.messages.read_text()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class RawCaller:
    """A caller with an SDP that SIPp need not understand: sends INVITE, answers BYE, or sends it."""

    def __init__(self, body: str, source: str = HOST, header: str = "") -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((source, 0))
        self._socket.setblocking(False)
        self.port = port = self._socket.getsockname()[1]
        self.final_status, self.answer, self._bye = 0, "", ""
        body = body.replace("[local_ip]", HOST).replace("[media_ip]", HOST).replace("[media_port]", "9")
        head = f"""INVITE sip:100@{HOST}:{PORT} SIP/2.0
Via: SIP/2.0/UDP {source}:{port};branch=z9hG4bK{port}
From: <sip:raw@{source}:{port}>;tag=1
To: <sip:100@{HOST}:{PORT}>
Call-ID: raw-{port}
CSeq: 1 INVITE
Contact: <sip:raw@{source}:{port}>
{header}Max-Forwards: 70
Content-Type: application/sdp
Content-Length: {len(body) + body.count(chr(10))}

"""
        self._invite = (head + body).replace("\n", "\r\n").encode()
        self.send_invite()

    def send_invite(self) -> None:
        """Also again, as who has not heard the answer."""
        self._socket.sendto(self._invite, (HOST, PORT))

    def final(self) -> int:
        """The final status, 0 as long as there is none."""
        try:
            text, source = self._socket.recvfrom(65535)
        except BlockingIOError:
            return self.final_status
        line, _, rest = text.decode().partition("\r\n")
        if line.startswith("SIP/2.0"):
            self.final_status = (
                int(line.split()[1]) if not self.final_status or self.final_status < 200 else self.final_status
            )
        if line.startswith("SIP/2.0 200") and "CSeq: 1 INVITE" in rest:
            ack = [f"ACK sip:100@{HOST}:{PORT} SIP/2.0", *_kept(rest, "Via From To Call-ID"), "CSeq: 1 ACK"]
            self._socket.sendto("\r\n".join([*ack, "Content-Length: 0", "", ""]).encode(), source)
            bye = [f"BYE sip:100@{HOST}:{PORT} SIP/2.0", *_kept(rest, "Via From To Call-ID"), "CSeq: 2 BYE"]
            bye += ["Max-Forwards: 70", "Content-Length: 0", "", ""]
            self._bye = "\r\n".join(bye).replace("z9hG4bK", "z9hG4bKb")
            self.answer = text.decode().partition("\r\n\r\n")[2]
        if line.startswith("BYE"):
            ok = ["SIP/2.0 200 OK", *_kept(rest, "Via From To Call-ID CSeq"), "Content-Length: 0", "", ""]
            self._socket.sendto("\r\n".join(ok).encode(), source)
        return self.final_status

    def send_bye(self, **changed: str) -> None:
        """After the 200. Also again, as who has not heard the answer; `changed`: header -> another value."""
        bye = self._bye
        for name, value in changed.items():
            bye = re.sub(f"(?m)^{name.replace('_', '-')}: .*?(?=\r)", f"{name.replace('_', '-')}: {value}", bye)
        self._socket.sendto(bye.encode(), (HOST, PORT))

    def heard(self) -> str:
        """The next message whole; "" as long as there is none."""
        try:
            return self._socket.recv(65535).decode()
        except BlockingIOError:
            return ""

    def methods(self) -> list[str]:
        """First words of what has come and was not looked at."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(65535).decode().partition(" ")[0])
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


class Rtp:
    """The media socket of a SIPp party that sends events (RFC 4733) and hears that audio comes."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.engine: Any = None  # where its audio came from last
        self._n_events = 0

    def has_come(self) -> bool:
        """A packet of the engine's has."""
        try:
            self.engine = self._socket.recvfrom(2000)[1]
        except BlockingIOError:
            return False
        return True

    def press(self, key: str, breathe: Callable[[float], None], payload_type: int = 101) -> None:
        """Updates of one event and its end, three times. The payload type is as the engine's SDP has it."""
        self._n_events += 1
        for step in range(5):
            number, at = 100 + self._n_events * 10 + step, self._n_events * 1600
            head = struct.pack("!BBHII", 0x80, 0x80 * (step == 0) + payload_type, number, at, 99)
            event = struct.pack("!BBH", "0123456789*#ABCD".index(key), 0x80 * (step > 2) + 10, 160 * (step + 1))
            self._socket.sendto(head + event, self.engine)
            breathe(0.01)

    def close(self) -> None:
        self._socket.close()


def _kept(head: str, names: str) -> list[str]:
    return [line for line in head.split("\r\n") if line.partition(":")[0] in names.split()]


class Ear:
    """In the conductor's place: hears every event and turns the crank."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, object]] = []
        self.on_post: Callable[[str, object], None] = lambda call, event: None
        self.n_calls = 0
        self.endpoint: Any = None  # the Endpoint; imported at start(), so that PJSIP is loaded then

    def start(
        self, limits: settings.Limits | None = None, trunks: tuple[settings.Trunk, ...] = (), **changes: Any
    ) -> None:
        from engine.sip.endpoint import Endpoint

        ports: dict[str, Any] = {"udp_port": PORT, "tcp_port": PORT, "rtp_from": 18400, "rtp_to": 18999}
        sip = settings.Sip(**{"address": HOST, **ports, **changes})
        trunks = trunks or (settings.Trunk("carrier", (IPv4Network("127.0.0.1/32"),)),)
        limits = limits or settings.Limits(max_calls=60)
        self.endpoint = Endpoint(sip, trunks, limits, 8000, self.post, self.new_call, time.monotonic)

    def new_call(self) -> str:
        self.n_calls += 1
        return f"c{self.n_calls}"

    def post(self, call: str, event: object) -> None:
        self.heard.append((call, event))
        self.on_post(call, event)

    def until(self, held: Callable[[], object], within_s: float = 8.0) -> None:
        end = time.monotonic() + within_s
        while not held():
            assert time.monotonic() < end, f"not within {within_s} s; heard {self.heard}"
            self.endpoint.poll(0.01)

    def next(self, kind: type, n: int = 1, within_s: float = 8.0):  # noqa: ANN201
        """Wait for the n-th event of this kind since the ear was cleared."""
        self.until(lambda: len(self.all(kind)) >= n, within_s)
        return self.all(kind)[n - 1]

    def all(self, kind: type) -> list:
        return [event for _, event in self.heard if isinstance(event, kind)]

    def story(self, call: str | None = None) -> list[str]:
        return [type(event).__name__ for name, event in self.heard if call in (None, name)]

    def silence(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.endpoint.poll(0.01)


def certificate(folder: Path, name: str, host: str = HOST) -> tuple[str, str]:
    """A self-signed one of `name`, for `host`; its files. An address stands as DNS, too: mbed TLS knows no other."""
    files = str(folder / "certificate.pem"), str(folder / "key.pem")
    shown = f"IP:{host},DNS:{host}" if host == HOST else f"DNS:{host}"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={shown}"]
    subprocess.run([*command, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


def n_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
