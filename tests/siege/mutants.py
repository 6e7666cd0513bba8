"""Messages that were good once: mutant(seed, ...) is the same message for the same seed, so that one that does harm can
be sent again alone. What is mutated: the 50 messages of RFC 4475 and every method a phone or trunk sends.
"""

import random
import re
from pathlib import Path

TORTURE = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "sip" / "rfc4475").glob("*.dat"))]
NUMBERS = ("100", "101", "103", "105", "107", "999", "+15551234")  # as tests/live/config/plans has them, and none of it
SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 8 0 9 96 101\r\n"
    "a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"
    "a=ptime:20\r\na=sendrecv\r\n"
)
BODIES = {
    "INVITE": ("application/sdp", SDP),
    "ACK": ("", ""),
    "OPTIONS": ("", ""),
    "BYE": ("", ""),
    "CANCEL": ("", ""),
    "REGISTER": ("", ""),
    "UPDATE": ("application/sdp", SDP),
    "PRACK": ("", ""),
    "INFO": ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n"),
    "REFER": ("", ""),
    "SUBSCRIBE": ("", ""),
    "NOTIFY": ("message/sipfrag", "SIP/2.0 200 OK\r\n"),
    "MESSAGE": ("text/plain", "hello"),
    "PUBLISH": ("application/pidf+xml", "<presence/>"),
}
EXTRA = (
    'Authorization: Digest username="1001",realm="agner",nonce="x",uri="sip:127.0.0.1",response="0",qop=auth,nc=1',
    "Refer-To: <sip:1@127.0.0.1>",
    "Replaces: a;to-tag=b;from-tag=c",
    "Session-Expires: 90;refresher=uac",
    "Require: 100rel",
    "RAck: 1 1 INVITE",
    "Supported: timer,100rel,replaces,path",
    "P-Asserted-Identity: <sip:+49301@127.0.0.1>",
    "Diversion: <sip:1@127.0.0.1>;reason=unconditional",
    "Record-Route: <sip:127.0.0.1;lr>",
    "Event: message-summary",
    "Subscription-State: active;expires=1",
    "Expires: 3600",
    "Path: <sip:127.0.0.1;lr>",
)
ODD = (
    *b'\x00 < > \r \n \r\n \r\n\r\n " ; : , @ = % %00 %ff \t'.split(b" "),
    *b"\xff \xc0\x80 \xf0\x9f\x98\x80 ( ) [ ] \\ / ? & - +".split(b" "),
    *(str(n).encode() for n in (0, -1, 1, 255, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**64, 10**30)),
    b"A" * 300,
    b";" * 64,
    b"\r\n ",
    b"sip:",
    b"tel:+1",
    b"IN IP6 ::1",
    b"a=rtpmap:8 PCMA/0\r\n",
    b"m=audio 0 RTP/AVP 8\r\n",
)
MAX_DATAGRAM = 65_000


def original(rnd: random.Random, seed: int, here: str, transport: str) -> bytes:
    """A message as it was before; mostly with a name of its own, so that it is no retransmission."""
    if rnd.random() < 0.5:
        message = rnd.choice(TORTURE)
        if rnd.random() < 0.9:
            message = re.sub(rb"(?i)(\n(?:Call-ID|i)\s*:\s*)", rb"\g<1>f%d-" % seed, message)
            message = re.sub(rb"(?i)branch=z9hG4bK", b"branch=z9hG4bKf%d" % seed, message)
            sent_by = rb"\g<1>SIP/2.0/%s %s" % (transport.encode(), here.encode())
            message = re.sub(rb"(?i)(\n(?:Via|v)\s*:\s*)SIP\s*/\s*2\.0\s*/\s*\w+\s+[\w.:-]+", sent_by, message, count=1)
        return message
    method = rnd.choice((*BODIES, "INVITE", "INVITE", "INVITE", "REGISTER", "OPTIONS"))
    kind, body = BODIES[method]
    number, extra = rnd.choice(NUMBERS), rnd.sample(EXTRA, rnd.choice((0, 0, 1, 1, 2, 4)))
    lines = [
        f"{method} sip:{number}@127.0.0.1 SIP/2.0",
        f"Via: SIP/2.0/{transport} {here};branch=z9hG4bKf{seed};rport",
        f"From: <sip:f{seed}@{here}>;tag={seed}",
        f"To: <sip:{number}@127.0.0.1>" + (";tag=1" if rnd.random() < 0.1 else ""),
        f"Call-ID: f{seed}@{here}",
        f"CSeq: {1 + seed % 7} {method}",
        f"Contact: <sip:f{seed}@{here}>",
        "Max-Forwards: 70",
        *extra,
        *([f"Content-Type: {kind}"] if kind else []),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", body]).encode()


def mutant(seed: int, here: str, transport: str) -> bytes:
    """From `here` (address:port). One in ten is left as it was."""
    rnd = random.Random(seed)
    message = original(rnd, seed, here, transport)
    for _ in range(rnd.choice((0, 1, 1, 1, 2, 2, 3, 5, 8, 20)) if rnd.random() < 0.97 else 100):
        message = rnd.choice(MUTATIONS)(rnd, message)[:MAX_DATAGRAM] or b"\r\n"
    return message


# ---- what is done to a message


def _flip(rnd: random.Random, message: bytes) -> bytes:
    at = rnd.randrange(len(message))
    return message[:at] + bytes([message[at] ^ 1 << rnd.randrange(8)]) + message[at + 1 :]


def _insert(rnd: random.Random, message: bytes) -> bytes:
    at = rnd.randrange(len(message))
    return message[:at] + rnd.choice(ODD) + message[at:]


def _overwrite(rnd: random.Random, message: bytes) -> bytes:
    at = rnd.randrange(len(message))
    return message[:at] + rnd.choice(ODD) + message[at + rnd.choice((1, 1, 2, 8)) :]


def _cut(rnd: random.Random, message: bytes) -> bytes:
    at = rnd.randrange(len(message))
    return message[:at] + message[at + rnd.choice((1, 1, 3, 10, 50)) :]


def _end_early(rnd: random.Random, message: bytes) -> bytes:
    return message[: rnd.randrange(1, len(message) + 1)]


def _number(rnd: random.Random, message: bytes) -> bytes:
    """Another number in place of one that stands there."""
    numbers = list(re.finditer(rb"\d+", message))
    if not numbers:
        return message
    found = rnd.choice(numbers)
    return (
        message[: found.start()]
        + str(rnd.choice((0, -1, 2**31, 2**32, 2**64, rnd.randrange(1000)))).encode()
        + message[found.end() :]
    )


def _lines(rnd: random.Random, message: bytes) -> bytes:
    """A line twice, often, gone, elsewhere, or of another message."""
    lines = message.split(b"\r\n")
    at, how = rnd.randrange(len(lines)), rnd.randrange(5)
    if how == 0:
        lines[at:at] = [lines[at]] * rnd.choice((1, 1, 5, 200))
    elif how == 1:
        del lines[at]
    elif how == 2:
        lines.insert(rnd.randrange(len(lines)), lines.pop(at))
    elif how == 3:
        lines.insert(at, rnd.choice(rnd.choice(TORTURE).split(b"\r\n")))
    else:
        lines[at] = lines[at] * rnd.choice((2, 2, 10, 100))
    return b"\r\n".join(lines)


def _splice(rnd: random.Random, message: bytes) -> bytes:
    other = rnd.choice(TORTURE)
    return message[: rnd.randrange(len(message))] + other[rnd.randrange(len(other)) :]


def _case(rnd: random.Random, message: bytes) -> bytes:
    return (
        message.swapcase()
        if rnd.random() < 0.3
        else message.replace(b"\r\n", rnd.choice((b"\n", b"\r", b"\r\n\t")), rnd.choice((1, -1)))
    )


MUTATIONS = (
    _flip,
    _flip,
    _insert,
    _insert,
    _overwrite,
    _overwrite,
    _cut,
    _end_early,
    _number,
    _number,
    _lines,
    _lines,
    _splice,
    _case,
)
