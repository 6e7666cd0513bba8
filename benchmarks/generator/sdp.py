"""The little SDP a phone of the generator needs: one G.711 stream and digits, offered and answered."""

from typing import NamedTuple

LAWS = {"PCMA": 8, "PCMU": 0}
SESSION = "agner-bench"


class Media(NamedTuple):
    ip: str
    port: int
    law: int
    ssrc: int  # declared by another generator, which shares its ports between streams (RFC 5576); else 0
    keys: int  # payload type of telephone events, 0 for none


class NoCommonCodec(ValueError):
    """The far end speaks no G.711."""


def describe(ip: str, port: int, law: int, ssrc: int) -> str:
    name = {number: name for name, number in LAWS.items()}[law]
    return (
        f"v=0\r\no=- {ssrc} 1 IN IP4 {ip}\r\ns={SESSION}\r\nc=IN IP4 {ip}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP {law} 101\r\na=rtpmap:{law} {name}/8000\r\n"
        f"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
        f"a=ssrc:{ssrc} cname:{SESSION}\r\n"
    )


def read(text: str) -> Media:
    """Raises NoCommonCodec, ValueError if there is no audio line or no address."""
    ip, port, formats, ssrc, keys = "", 0, [], 0, 0
    for line in text.split("\r\n"):
        if line.startswith("c=IN IP4 "):
            ip = line[9:].strip()
        elif line.startswith("m=audio ") and not port:
            _, number, _, *formats = line.split()
            port = int(number)
        elif line.startswith("a=ssrc:") and not ssrc:
            ssrc = int(line[7:].split()[0])
        elif line.startswith("a=rtpmap:") and line.endswith(" telephone-event/8000"):
            keys = int(line[9:].split()[0])
    if not ip or not port:
        raise ValueError("SDP without an audio stream")
    law = next((int(f) for f in formats if f in ("0", "8")), None)
    if law is None:
        raise NoCommonCodec(f"no G.711 in {formats}")
    return Media(ip, port, law, ssrc if f"\r\ns={SESSION}\r\n" in text else 0, keys)
