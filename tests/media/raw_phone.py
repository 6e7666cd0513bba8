"""A phone that does by hand what a test wants done to RTP (RFC 3550) and SDP: it calls the floor, and sends and takes
packets only when told to. Driven from the thread of PJSIP's loop, like all in this folder."""

import re
import select
import socket
import struct
import time
from dataclasses import dataclass

from tests.media.conftest import SIP_PORT, Floor, Line

HOST = "127.0.0.1"
PCMU, PCMA = 0, 8
KEYS = 101  # our payload type of telephone-event


@dataclass(frozen=True, slots=True)
class Packet:
    marker: bool
    type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


class RawPhone:
    def __init__(self, floor: Floor, law: int = PCMA, keys: int = KEYS) -> None:
        self.law, self.keys, self.floor = law, keys, floor
        self.sequence, self.timestamp, self.ssrc = 0xFFF0, 0xFFFFF000, 0x1234_0000 + id(self) % 0x1000
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind((HOST, 0))
        self.rtp.setblocking(False)
        self.rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtcp.bind((HOST, 0))
        self.rtcp.setblocking(False)
        self._sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sip.bind((HOST, 0))
        self._sip.setblocking(False)
        self._id = f"{id(self):x}.{time.monotonic_ns():x}"
        self._n_requests, self._version = 0, 0
        self._to = f"<sip:floor@{HOST}:{SIP_PORT}>"
        self._target = f"sip:floor@{HOST}:{SIP_PORT}"
        self.answer = self.invite()
        self.line: Line = floor.incoming[-1]
        assert floor.until(lambda: bool(self.line.slots))

    def invite(self, direction: str = "sendrecv") -> str:
        """INVITE, or re-INVITE, to the end of its ACK. Returns the SDP of the answer."""
        self._version += 1
        name = {PCMU: "PCMU", PCMA: "PCMA"}[self.law]
        sdp = (
            f"v=0\r\no=- 1 {self._version} IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\n"
            f"m=audio {self.rtp.getsockname()[1]} RTP/AVP {self.law} {self.keys}\r\na=rtpmap:{self.law} {name}/8000\r\n"
            f"a=rtcp:{self.rtcp.getsockname()[1]}\r\n"
            f"a=rtpmap:{self.keys} telephone-event/8000\r\na=fmtp:{self.keys} 0-15\r\na={direction}\r\n"
        )
        answer = self._request("INVITE", sdp)
        self._request("ACK")
        address = re.search(r"^c=IN IP4 (\S+)\r$", answer, re.MULTILINE)
        ports = re.search(r"^m=audio (\d+) ", answer, re.MULTILINE)
        assert address and ports, answer
        self.far = (address[1], int(ports[1]))
        return answer

    def hang_up(self) -> None:
        self._request("BYE")
        assert self.floor.until(lambda: self.line.is_over)
        self.floor.incoming.remove(self.line)
        for line in (self._sip, self.rtp, self.rtcp):
            line.close()

    def _request(self, method: str, body: str = "") -> str:
        """Sends it, and returns its final answer's body."""
        if method != "ACK":
            self._n_requests += 1
        own = "{}:{}".format(*self._sip.getsockname())
        lines = [
            f"{method} {self._target} SIP/2.0",
            f"Via: SIP/2.0/UDP {own};branch=z9hG4bK{self._id}.{self._n_requests}.{method}",
            "Max-Forwards: 70",
            f"From: <sip:raw@{own}>;tag={self._id}",
            f"To: {self._to}",
            f"Call-ID: {self._id}",
            f"CSeq: {self._n_requests} {method}",
            f"Contact: <sip:raw@{own}>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
            "",
            body,
        ]
        self._sip.sendto("\r\n".join(lines).encode(), (HOST, SIP_PORT))
        final = ""

        def is_final() -> bool:
            nonlocal final
            while select.select([self._sip], [], [], 0)[0]:
                text = self._sip.recv(8192).decode()
                if text.startswith("SIP/2.0") and not text.startswith("SIP/2.0 1") and f" {method}\r\n" in text:
                    final = text
            return bool(final)

        if method == "ACK":
            return ""
        assert self.floor.until(is_final), f"no answer to {method}"
        assert final.startswith("SIP/2.0 200"), final
        if to := re.search(r"^To: *(.*?)\r$", final, re.MULTILINE | re.IGNORECASE):
            self._to = to[1]
        if contact := re.search(r"^Contact: *<(.*?)>", final, re.MULTILINE | re.IGNORECASE):
            self._target = contact[1]
        return final.partition("\r\n\r\n")[2]

    # ---- RTP

    def say(self, payload: bytes, type_: int | None = None, marker: bool = False, n_samples: int | None = None) -> None:
        """The next packet. `n_samples`: how far the time stamp goes on after it; as long as the payload if None."""
        type_ = self.law if type_ is None else type_
        head = struct.pack("!BBHII", 0x80, marker << 7 | type_, self.sequence, self.timestamp, self.ssrc)
        self.rtp.sendto(head + payload, self.far)
        self.sequence = self.sequence + 1 & 0xFFFF
        self.timestamp = self.timestamp + (len(payload) if n_samples is None else n_samples) & 0xFFFFFFFF

    def reports(self) -> list[bytes]:
        """RTCP that has come since it was last asked."""
        found = []
        while select.select([self.rtcp], [], [], 0)[0]:
            found.append(self.rtcp.recv(2048))
        return found

    def heard(self) -> list[Packet]:
        """What has come since it was last asked, all of it from where the SDP says."""
        packets = []
        while select.select([self.rtp], [], [], 0)[0]:
            data, source = self.rtp.recvfrom(2048)
            assert source == self.far
            byte, sequence, timestamp, ssrc = struct.unpack("!xBHII", data[:12])
            packets.append(Packet(bool(byte & 0x80), byte & 0x7F, sequence, timestamp, ssrc, data[12:]))
        return packets
