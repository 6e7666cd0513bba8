"""Values of pjsua2 and of SIP messages <-> ours. Counterpart: endpoint.py, which alone uses it.

Pure functions, and the writer that takes PJSIP's log into Python's. Whatever a stranger wrote into a header is cleaned
here, so nothing behind this door needs to fear it.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import quote, unquote

import pjsua2 as pj

from engine.callflow.errors import SipError
from engine.callflow.events import Refusal
from engine.callflow.plan import Caller

log = logging.getLogger(__name__)

DIGITS = frozenset("0123456789*#ABCD")  # RFC 4733 section 3.2, without flash
LONGEST = 64  # characters of a number or a name; the rest of a longer one is cut
Headers = Mapping[str, str] | Sequence[tuple[str, str]]
LONGEST_VALUE = 256  # of a header of ours, encoded

_URI = re.compile(r"\b(sips?|tel):([^>?\s]+)", re.IGNORECASE)
_QUOTED_NAME = re.compile(r'\s*"((?:[^"\\]|\\.)*)"\s*<')
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_BARE_NAME = re.compile(r"\s*([^\"<]*?)\s*<")
_NO_UTF8 = re.compile(r"[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SEPARATORS = str.maketrans("", "", "-.() ")  # RFC 3966 section 5.1.1
_DIALLED = re.compile(r"\+?[\d\-.() ]+")
USER_SAFE = "+*-_.!~'()&=$,/"  # RFC 3261 section 25.1: unreserved and user-unreserved, without ; and ?
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_SAVP = re.compile(r"^m=audio \d+ \S*SAVP", re.MULTILINE)  # RFC 3711
_KEYED = re.compile(r"^a=(?:crypto|fingerprint):", re.MULTILINE)  # RFC 4568, 5763
_UNREACHABLE = frozenset((404, 408, 410, 604))


def clean(text: str) -> str:
    """One line without control characters, of bounded length: safe in logs, traces, records and headers. What was no
    UTF-8, pjsua2 tells as surrogates; no file or database takes those."""
    return _CONTROL.sub(" ", _NO_UTF8.sub("\ufffd", text)).strip()[:LONGEST]


def number_of(uri: str) -> str:
    """The user part of a sip:, sips: or tel: URI as a number; empty if there is none.

    Parameters of the user part fall away, and so do the visual separators of a telephone number.
    """
    uri = _QUOTED.sub("", uri)  # a name may look like an address
    if not (found := _URI.search(uri, max(0, uri.rfind("<")))):
        return ""
    scheme, rest = found.groups()
    user, at, _ = rest.partition("@")
    if not at and scheme.lower() != "tel":
        return ""
    number = clean(unquote(re.split("[;:]", user)[0]))
    return number.translate(_SEPARATORS) if _DIALLED.fullmatch(number) else number


def name_of(address: str) -> str:
    """The display name of a From or P-Asserted-Identity header."""
    if found := _QUOTED_NAME.match(address):
        return clean(re.sub(r"\\(.)", r"\1", found[1]))
    found = _BARE_NAME.match(address)
    return clean(found[1]) if found else ""


def local_uri(caller: Caller, host: str, display_name: str = "") -> str:
    """From of an INVITE that we send on this caller's behalf, with a name to show in place of the caller's own. Who
    withheld the number is anonymous (RFC 3323 section 4.1.1.3)."""
    shown = clean(display_name or (caller.name if caller.ani else "Anonymous"))
    name = shown.replace("\\", "\\\\").replace('"', '\\"')
    user = f"{quote(clean(caller.ani), safe=USER_SAFE)}@{host}" if caller.ani else "anonymous@anonymous.invalid"
    return f'"{name}" <sip:{user}>' if name else f"<sip:{user}>"


def address_of(source: str) -> IPv4Address | IPv6Address:
    """The address in PJSIP's "192.0.2.1:5060" or "[2001:db8::1]:5060"; an IPv4 address inside IPv6 is taken out."""
    host = source.rpartition(":")[0].strip("[]") if source.count(":") == 1 or source.startswith("[") else source
    address = ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def is_as_secret(invite: str, srtp: str) -> bool:
    """Whether an INVITE's offer is as encrypted as a trunk's audio may or must be (settings.SRTP)."""
    if srtp == "off":
        return not _SAVP.search(invite)
    return srtp == "offered" or bool(_KEYED.search(invite))


def refusal_of(status: int, rang: bool) -> Refusal:
    """What the final status of an INVITE that was not answered says about the called party."""
    if status in (486, 600):
        return Refusal.BUSY
    if status == 487 or (status == 408 and rang):
        return Refusal.NO_ANSWER
    if status in _UNREACHABLE or 500 <= status < 600:
        return Refusal.UNREACHABLE
    return Refusal.REJECTED


def header_value(name: str, value: str) -> str:
    """A value that stays on its line. In our own headers (X-...) what is not printable ASCII, and "%", is
    percent-encoded as UTF-8, so that any text arrives whole and can go into a URL; blanks stay. What would make it
    longer than LONGEST_VALUE is cut, between characters."""
    value = _CONTROL.sub(" ", value).strip()
    if not name.lower().startswith("x-"):
        return value
    encoded = ""
    for char in value:
        piece = char if " " <= char <= "~" and char != "%" else quote(char)
        if len(encoded) + len(piece) > LONGEST_VALUE:
            break
        encoded += piece
    return encoded


def headers_of(values: Headers) -> pj.SipHeaderVector:
    """Headers of a request or reply. ValueError: a name that is none (RFC 3261 section 25.1, token)."""
    vector = pj.SipHeaderVector()
    for name, value in values.items() if isinstance(values, Mapping) else values:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a SIP header")
        header = pj.SipHeader()
        header.hName, header.hValue = name, header_value(name, value)
        vector.append(header)
    return vector


def host_of(uri: str) -> str:
    """The host of a SIP URI, without brackets."""
    place = re.split(r"[;?]", uri.partition("@")[2] or uri.partition(":")[2])[0]
    return place[1:].partition("]")[0] if place.startswith("[") else place.partition(":")[0]


def mwi_request(uri: str, own_uri: str, account: str, n_new: int, n_old: int) -> pj.SendRequestParam:
    """A NOTIFY that nobody asked for, about waiting messages (RFC 3842)."""
    prm = pj.SendRequestParam()
    prm.method = "NOTIFY"
    prm.txOption.targetUri = uri
    told = {"Event": "message-summary", "Subscription-State": "terminated", "Contact": f"<{own_uri}>"}
    prm.txOption.headers = headers_of(told)
    prm.txOption.contentType = "application/simple-message-summary"
    prm.txOption.msgBody = message_summary(account, n_new, n_old)
    return prm


def send_mwi(by: pj.Account, uri: str, own_uri: str, account: str, n_new: int, n_old: int) -> None:
    """Logs what fails."""
    try:
        by.sendRequest(mwi_request(uri, own_uri, account, n_new, n_old))
    except pj.Error as error:
        log.warning("NOTIFY about messages to %s: %s", clean(uri), reason_of(error))


def message_summary(account: str, n_new: int, n_old: int) -> str:
    """The body of a NOTIFY about waiting messages (RFC 3842 section 3.5)."""
    lines = f"Messages-Waiting: {'yes' if n_new else 'no'}", f"Message-Account: {_CONTROL.sub(' ', account).strip()}"
    return "\r\n".join([*lines, f"Voice-Message: {n_new}/{n_old}", ""])


def reason_of(error: Exception) -> str:
    """PJSIP's own words where it has any."""
    return clean(error.reason) if isinstance(error, pj.Error) else f"{type(error).__name__}: {clean(str(error))}"


def sip_error(doing: str, error: Exception) -> SipError:
    """`doing` says what failed, as in "leg 7: answer"."""
    return SipError(f"{doing}: {reason_of(error)}")


class LogWriter(pj.LogWriter):
    """PJSIP's log, level 1 (errors) to 6, as records of the Python logger "pjsip". PJSIP filters before it calls."""

    LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO}

    def __init__(self) -> None:
        super().__init__()
        self._log = logging.getLogger("pjsip")

    def write(self, entry: pj.LogEntry) -> None:
        self._log.log(self.LEVELS.get(entry.level, logging.DEBUG), "%s", _CONTROL.sub(" ", entry.msg).strip())
