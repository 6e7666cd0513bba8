"""Who calls whom, between a trunk's headers and ours: P-Asserted-Identity (RFC 3325), Remote-Party-ID, From, Diversion
(RFC 5806), History-Info (RFC 7044), and privacy (RFC 3323) both ways. Pure.

Whose word counts is the trunk's setting: a header that is not named there is not looked at, whoever sent it. A caller
who asked for privacy has neither number nor name here, whatever headers say it, and shows neither when we call on their
behalf. Counterparts: settings.Identity and settings.Numbers; translate.py, which reads one address.
"""

import re
from collections.abc import Iterator
from functools import cache
from urllib.parse import quote

from engine.callflow.plan import Caller
from engine.callflow.settings import ASSERTED, DIVERSION, FROM, REMOTE_PARTY, REQUEST_URI, Trunk
from engine.sip import translate
from engine.sip.digest import Authorization

_COMPACT = {"from": "f", "to": "t", "call-id": "i"}
_HIDDEN = frozenset(("id", "user", "header", "full", "uri", "name"))  # RFC 3323 section 4.2, RFC 3325, RPID
_FOLD = re.compile(r"\r?\n[ \t]+")
_PARAMETER = re.compile(r"""\s*([A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))""")
ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'  # RFC 3323 section 4.1.1.3


def values_of(head: str, name: str) -> list[str]:
    """All values of a header, folded lines joined; a list in one line counts as several."""
    return [part for line in _lines(name).findall(head) for part in _parts(_FOLD.sub(" ", line))]


@cache
def _lines(name: str) -> re.Pattern[str]:
    names = "|".join(re.escape(one) for one in (name, _COMPACT.get(name.lower())) if one)
    return re.compile(rf"^(?:{names})[ \t]*:[ \t]*((?:[^\r\n]+|\r?\n[ \t])*)", re.IGNORECASE | re.MULTILINE)


def _parts(line: str) -> Iterator[str]:
    """Split at commas that are neither in quotes nor in angle brackets."""
    if "," not in line:
        yield from filter(None, [line.strip()])
        return
    found = re.findall(r"""(?:"(?:[^"\\]|\\.)*"|<[^>]*>|[^,"<]|["<])+""", line)
    yield from (part.strip() for part in found if part.strip())


# ---- in


def caller_of(invite: str, trunk: Trunk) -> Caller:
    """From the text of an INVITE that a trunk sent; numbers are rewritten as the trunk's tables say."""
    head = invite.partition("\r\n\r\n")[0]
    dnis = trunk.numbers.called_in.rewrite(_called(head, trunk))
    shown = _shown(head, trunk)
    wishes = {wish.strip().lower() for value in values_of(head, "Privacy") for wish in value.split(";")}
    if not shown or wishes & _HIDDEN or _is_anonymous(shown):
        return Caller(ani="", dnis=dnis, trunk=trunk.name)
    ani = trunk.numbers.caller_in.rewrite(translate.number_of(shown))
    return Caller(ani=ani, dnis=dnis, trunk=trunk.name, name=translate.name_of(shown))


def caller_by_phone(invite: str, agent: str) -> Caller:
    """From the text of an INVITE that an agent's phone sent; who that is, it has proved."""
    request = invite.partition("\r\n")[0].split(" ")
    return Caller(ani=agent, dnis=translate.number_of(request[1]), trunk="", agent=agent)


def call_id_of(message: str) -> str:
    return next(iter(values_of(message.partition("\r\n\r\n")[0], "Call-ID")), "")


def _called(head: str, trunk: Trunk) -> str:
    request = head.partition("\r\n")[0].split(" ")
    for name in trunk.identity.called_from:
        if name == REQUEST_URI:
            value = request[1] if len(request) > 1 else ""
        else:  # of several diversions the last was made first; of a history the first entry is the oldest
            values = values_of(head, name) or [""]
            value = values[-1] if name == DIVERSION else values[0]
        if number := translate.number_of(value):
            return number
    return ""


def _shown(head: str, trunk: Trunk) -> str:
    """The address of the caller by the first of the trunk's headers that is there."""
    for name in trunk.identity.caller_from:
        values = values_of(head, name)
        if name == REMOTE_PARTY:
            values = [value for value in values if "party=called" not in value.lower()]
        numbered = [value for value in values if translate.number_of(value)]
        if values:
            return (numbered or values)[0]
    return ""


def _is_anonymous(shown: str) -> bool:
    lowered = shown.lower()
    hidden = re.search(r";\s*privacy\s*=\s*\"?([a-z]+)", lowered)
    return (
        "anonymous.invalid" in lowered
        or translate.number_of(shown).lower() == "anonymous"
        or (hidden is not None and hidden[1] in _HIDDEN)
    )


def answers_of(invite: str) -> list[Authorization]:
    """Its Authorization headers of scheme Digest."""
    head = invite.partition("\r\n\r\n")[0]
    lines = re.findall(r"^(?:Proxy-)?Authorization[ \t]*:[ \t]*Digest((?:[^\r\n]|\r?\n[ \t])*)", head, re.I | re.M)
    found = []
    for line in lines:
        said = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(line)}
        found.append(Authorization(*(said.get(field, "") for field in Authorization._fields)))
    return found


# ---- out


def shown_to(trunk: Trunk, caller: Caller, own_host: str) -> tuple[str, dict[str, str]]:
    """From, and the headers besides it, of an INVITE that we send over a trunk on this caller's behalf. An agent who
    dials shows the trunk's own number, where there is one. `own_host`: as in a URI, an IPv6 address in brackets."""
    identity = trunk.identity
    host = trunk.registration.registrar.host if trunk.registration else own_host
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    number = trunk.numbers.caller_out.rewrite(caller.ani)
    if caller.agent and identity.own_number:
        number = identity.own_number
    own = f"<sip:{_user(identity.own_number)}@{host}>" if identity.own_number else ""
    named = _named(caller.name, f"<sip:{_user(number)}@{host}>") if number else own
    headers: dict[str, str] = {} if caller.ani else {"Privacy": "id"}  # RFC 3325 section 9.3
    if ASSERTED in identity.caller_to and named:
        headers[ASSERTED] = named
    if REMOTE_PARTY in identity.caller_to and named:
        headers[REMOTE_PARTY] = f"{named};party=calling;screen=yes;privacy={'off' if caller.ani else 'full'}"
    if FROM not in identity.caller_to:
        return own, headers
    return (named if caller.ani else ANONYMOUS), headers


def _named(name: str, address: str) -> str:
    shown = translate.clean(name).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{shown}" {address}' if shown else address


def _user(number: str) -> str:
    return quote(translate.clean(number), safe=translate.USER_SAFE)
