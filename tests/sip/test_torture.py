"""The 49 messages of RFC 4475 and one more: each answered or dropped as the RFC says, and the switch is none the worse.

rfc4475/ has the messages as the RFC's archive gives them. Each is sent from the port, and over the transport, that its
Via names. Where several answers are right, all are listed; None is silence. Where we differ from its advice, a reason
stands beside it.
"""

import re
import socket
import time
from pathlib import Path

import pytest

from engine.callflow import events as e
from tests.sip.peers import HOST, PORT, Ear

MESSAGES = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "rfc4475").glob("*.dat"))}
TAKEN = 480  # how this test's conductor answers every call
NO_SDP = 400  # their SDP has `a=rtpmap:31 LPC`, which RFC 4566 does not allow: PJSIP refuses it before us

RIGHT: dict[str, set[int | None]] = {
    # 3.1.1 valid
    "wsinv": {481},  # its To has a tag, and there is no such dialog
    "intmeth": {501},
    "esc01": {TAKEN, NO_SDP},
    "escnull": {405, 401, 404, 400},
    "esc02": {501},
    "lwsdisp": {200},
    "longreq": {TAKEN},
    "dblreq": {405, 401, 404},
    "semiuri": {200},
    "transports": {200},
    "mpart01": {405},
    "unreason": {None},
    "noreason": {None},
    # 3.1.2 invalid
    "badinv01": {400, None},  # its Via cannot be read, so nobody knows where an answer would go
    "clerr": {400},
    "ncl": {400, None},
    "scalar02": {400, None},
    "scalarlg": {None},
    "quotbal": {400, None},
    "ltgtruri": {400, None},
    "lwsruri": {400, None},
    "lwsstart": {TAKEN, 400},  # "elements may attempt to ignore the extra LWS"
    "trws": {200, 400},
    "escruri": {400},
    "baddate": {TAKEN, 400},  # "a liberal element could ignore this"
    "regbadct": {400},
    "badaspec": {200, 400},
    "baddn": {200, 400},
    "badvers": {505, None},  # PJSIP reads no other version of SIP, so it sees no request
    "mismatch01": {400},
    "mismatch02": {400, 501},
    "bigcode": {None},
    # 3.2 and 3.3
    "badbranch": {200, 400},
    "insuf": {400, None},  # without From, Call-ID and To there is no answer to make
    "unkscm": {416, 400, None},
    "novelsc": {416, 400, None},
    "unksm2": {405, 400, 404, 401},
    "bext01": {420},
    "invut": {415, NO_SDP},
    "regaut01": {401, 400, 405, None},
    "multi01": {400},
    "mcl01": {400, None},
    "bcast": {None},
    "zeromf": {200, 483},
    "cparam01": {405, 401, 404, 200},
    "cparam02": {405, 401, 404, 200},
    "regescrt": {405, 401, 404, 200},
    "sdp01": {406, 200, TAKEN, NO_SDP},
    "inv2543": {TAKEN, 400},  # it has no Contact (RFC 3261 section 8.1.1.8)
    "test": {None, 400, 200, 405, 481, TAKEN},
}


def test_every_message_has_its_answer_here():
    assert set(RIGHT) == set(MESSAGES)


class Sender:
    """Sends one message as its Via says, and ACKs what refuses an INVITE."""

    def __init__(self, message: bytes) -> None:
        is_tcp = bool(re.search(rb"^(via|v)\s*:[^\n]*/\s*TCP", message, re.I | re.M))
        self._line = socket.socket(socket.AF_INET, socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM)
        port = re.search(rb"^(?:via|v)\s*:[^\n]*?/\s*\w+\s+[^;:\s]+:(\d+)", message, re.I | re.M)
        if not is_tcp:
            self._line.bind((HOST, int(port[1]) if port else 5060))
        self._line.connect((HOST, PORT))
        self._line.send(message)
        self._line.setblocking(False)
        self.finals: list[int] = []

    def look(self) -> None:
        try:
            text = self._line.recv(65535).decode(errors="replace")
        except OSError:
            return
        for status, rest in re.findall(r"^SIP/2\.0 (\d+)(.*?)\r\n\r\n", text, re.M | re.S):
            if int(status) >= 200:
                self.finals.append(int(status))
                if "INVITE" in rest:
                    self._line.send(_ack(rest))

    def close(self) -> None:
        self._line.close()


def _ack(response: str) -> bytes:
    kept = re.findall(r"^(?:Via|From|To|Call-ID):[^\n]*\n", response, re.M)
    cseq = re.search(r"^CSeq:\s*(\d+)", response, re.M)
    assert cseq
    head = f"ACK sip:x@{HOST} SIP/2.0\r\n{''.join(kept)}CSeq: {cseq[1]} ACK\r\nMax-Forwards: 70\r\n"
    return f"{head}Content-Length: 0\r\n\r\n".encode()


def is_alive(ear: Ear) -> bool:
    """An OPTIONS is answered within a second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind((HOST, 0))
        line.setblocking(False)
        here = f"{HOST}:{line.getsockname()[1]}"
        branch = time.monotonic_ns()
        line.sendto(
            (
                f"OPTIONS sip:{HOST} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{branch}\r\n"
                f"From: <sip:a@{here}>;tag=1\r\nTo: <sip:{HOST}>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\n"
                "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            ).encode(),
            (HOST, PORT),
        )
        end = time.monotonic() + 1
        while time.monotonic() < end:
            ear.endpoint.poll(0.01)
            try:
                return line.recv(65535).startswith(b"SIP/2.0 200")
            except OSError:
                continue
        return False


@pytest.mark.parametrize("name", MESSAGES)
def test_answered_or_dropped_as_the_rfc_says(ear: Ear, name: str) -> None:
    ear.on_post = lambda call, event: arrived.append(event.leg) if isinstance(event, e.CallArrived) else None
    arrived: list[int] = []
    sender = Sender(MESSAGES[name])
    end = time.monotonic() + (0.3 if None in RIGHT[name] else 1.0)
    while time.monotonic() < end and not sender.finals:
        ear.endpoint.poll(0.01)
        while arrived:
            ear.endpoint.reject(arrived.pop(), TAKEN)
        sender.look()
    assert (sender.finals[0] if sender.finals else None) in RIGHT[name]
    assert is_alive(ear)
    sender.close()
