"""`trunks:` of switch.yaml -> Trunk. Counterpart: engine/callflow/settings.py, which has the types and the defaults."""

import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from engine.callflow import rewrite
from engine.callflow.settings import (
    ALGORITHMS,
    CALLED_HEADERS,
    CALLER_HEADERS,
    FROM,
    SRTP,
    Destination,
    Identity,
    Login,
    Numbers,
    Probing,
    Registration,
    Trunk,
)
from engine.config import scalars
from engine.config.scalars import Network
from engine.config.yaml_nodes import Section, Value, guess

_DESTINATION = re.compile(r"sip:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::([0-9]{1,6}))?(?:;transport=(\w+))?", re.ASCII)
_TRANSPORTS = ("udp", "tcp", "tls")
_OTHERS_RIGHTS = stat.S_IWGRP | stat.S_IRWXO
_TABLES = ("called in", "caller in", "called out", "caller out")


def read_trunks(value: Value | None) -> tuple[Trunk, ...]:
    if value is None:
        return ()
    trunks: dict[str, Trunk] = {}
    overflows: dict[str, Value] = {}
    for key, item in value.pairs():
        with item.section() as section:
            name = scalars.name(key)
            trunk = Trunk(name, _sources(section, key, trunks.values()), **_read(section))
            _check_ways_out(section, trunk)
            trunks[name] = trunk
            if overflow := section.get("overflow"):
                overflows[name] = overflow
    for name, overflow in overflows.items():
        _check_overflow(overflow, name, trunks)
    if not trunks and value.is_mapping:
        value.complain("no trunk is described, so nobody could call")
    return tuple(trunks.values())


def _read(section: Section) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name in ("max calls", "max calls in", "max calls out"):
        if item := section.get(name):
            read[name.replace(" ", "_")] = scalars.count(item, 1, 100_000)
    for name, key in (("max calls per second", "max_calls_per_s"), ("max calls per second out", "max_calls_per_s_out")):
        if item := section.get(name):
            read[key] = float(scalars.count(item, 1, 10_000))
    if item := section.get("early media"):
        read["early_media"] = scalars.yes_no(item)
    if item := section.get("destinations"):
        read["destinations"] = _destinations(item)
    if item := section.get("silent within"):
        read["silent_within_s"] = scalars.duration(item, 0.2, 32.0)
    if item := section.get("probe"):
        read["probing"] = _probing(item)
    if item := section.get("overflow"):
        read["overflow"] = item.text()
    for name in ("login", "challenge"):
        if item := section.get(name):
            read[name] = _login(item)
    if item := section.get("register"):
        read["registration"] = _registration(item, read.get("destinations", ()), read.get("login"))
    if item := section.get("numbers"):
        read["numbers"] = _numbers(item)
    if item := section.get("large requests"):
        read["large_by_tcp"] = scalars.one_of(item, ("udp", "tcp")) == "tcp"
    if item := section.get("srtp"):
        read["srtp"] = scalars.one_of(item, SRTP)
    read["identity"] = _identity(section)
    return read


# ---- where calls come from and go to


def _sources(section: Section, key: Value, trunks: Iterable[Trunk]) -> tuple[Network, ...]:
    sources: list[Network] = []
    for entry in origin.items() if (origin := section.need("from")) else ():
        if (network := scalars.network(entry)) is not None:
            _check_overlap(entry, network, [*trunks, Trunk(key.text(), tuple(sources))])
            sources.append(network)
    return tuple(sources)


def _check_overlap(value: Value, network: Network, trunks: Iterable[Trunk]) -> None:
    """A call must belong to one trunk."""
    for trunk in trunks:
        for other in trunk.sources:
            if network.version == other.version and network.overlaps(other):
                value.complain(f"{network} overlaps {other} of trunk {trunk.name!r}")


def _destinations(value: Value) -> tuple[Destination, ...]:
    found: dict[tuple[str, int | None, str], Destination] = {}
    for item in value.items():
        if item.is_mapping:
            with item.section() as section:
                to, priority, weight = section.need("to"), section.get("priority"), section.get("weight")
                place = _place(to) if to else None
                ranks = [scalars.count(rank, 0, 65535) if rank else 1 for rank in (priority, weight)]
        else:
            place, ranks = _place(item), [1, 1]
        if place in found:
            item.complain(f"{found[place]} stands here already")
        elif place:
            found[place] = Destination(*place, *ranks)
    return tuple(found.values())


def _place(value: Value) -> tuple[str, int | None, str] | None:
    """Host, port and transport of `sip:sbc.carrier.example:5060;transport=tcp`; None after a complaint."""
    text = value.text()
    found = _DESTINATION.fullmatch(text)
    if not found:
        if text:
            hint = f"sip:{text}?" if _DESTINATION.fullmatch(f"sip:{text}") else "sip:sbc.carrier.example:5060"
            value.complain(f"{text!r} is not the SIP address of a server ({hint})")
        return None
    host, port, transport = found[1].strip("[]").lower(), found[2], (found[3] or "").lower()
    if port and not 1 <= int(port) <= 65535:
        value.complain(f"port {port} is not from 1 to 65535")
    elif transport and transport not in _TRANSPORTS:
        value.complain(f"transport {transport!r} is not known here (udp, tcp or tls)")
    elif not _is_host(host):
        value.complain(f"{host!r} is neither an address nor a name of DNS")
    else:
        return host, int(port) if port else None, transport
    return None


def _is_host(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        labels = host.removesuffix(".").split(".")
        return not labels[-1].isdecimal() and all(
            re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label) for label in labels
        )
    return True


def _probing(value: Value) -> Probing | None:
    if value.is_scalar and value.node.value.strip() == "off":
        return None
    read: dict[str, Any] = {}
    with value.section() as section:
        if item := section.get("every"):
            read["every_s"] = scalars.duration(item, 1.0, 3600.0)
        if item := section.get("gone after"):
            read["n_lost"] = scalars.count(item, 1, 100)
    return Probing(**read)


def _check_ways_out(section: Section, trunk: Trunk) -> None:
    """What only says how calls go out, where none do."""
    if trunk.destinations:
        return
    names = ("max calls out", "max calls per second out", "silent within", "probe", "overflow", "caller to")
    for name in (name for name in names if name in section):
        section.pairs[name][0].complain(f"{name!r} is for calls that go out, but the trunk has no destinations")
    if trunk.login and not trunk.registration:
        section.pairs["login"][0].complain("'login' is for calls that go out, but the trunk has no destinations")


def _check_overflow(value: Value, name: str, trunks: Mapping[str, Trunk]) -> None:
    other = value.text()
    if other not in trunks:
        if other:
            value.complain(f"trunk {other!r} is not in switch.yaml{guess(other, trunks)}")
        return
    if not trunks[other].destinations:
        value.complain(f"trunk {other!r} has no destinations, so no call can go out there")
    passed = [name]
    while other in trunks and other not in passed:
        passed.append(other)
        other = trunks[other].overflow
    if other == name:
        value.complain(f"overflow goes round: {' -> '.join([*passed, name])}")


# ---- who may


def _login(value: Value) -> Login | None:
    with value.section() as section:
        user, realm = section.need("user"), section.need("realm")
        file, variable = section.get("password file"), section.get("password variable")
        if (file is None) == (variable is None):
            section.value.complain("a login has either a 'password file' or a 'password variable' of the environment")
        if realm and realm.text() == "*":
            realm.complain("realm '*' would give the password's digest to whoever asks: write the carrier's realm")
        if file:
            _check_password_file(file)
        if variable and variable.text() and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable.text()):
            variable.complain("a password variable is the name of an environment variable, not the password")
        texts = [item.text() if item else "" for item in (user, realm, file, variable)]
        login = Login(texts[0], texts[1], texts[2], texts[3])
        if value.label != "challenge" or not (offered := section.get("algorithms")):
            return login
        return replace(login, algorithms=tuple(scalars.one_of(one, ALGORITHMS) for one in offered.items()))


def _check_password_file(value: Value) -> None:
    path = value.text()
    try:
        mode = Path(path).stat().st_mode if path else 0
    except (OSError, ValueError) as error:
        value.complain(f"password file: {path!r} cannot be read ({getattr(error, 'strerror', error)})")
        return
    if path and not stat.S_ISREG(mode):
        value.complain(f"password file: {path!r} is not a file")
    elif mode & _OTHERS_RIGHTS:
        value.complain(f"password file: {path!r} can be read or written by others (chmod 600 {path})")


def _registration(value: Value, destinations: tuple[Destination, ...], login: Login | None) -> Registration | None:
    with value.section() as section:
        user, to, expires = section.get("user"), section.get("with"), section.get("expires")
        name = user.text() if user else login.user if login else ""
        if not user and not login:
            section.value.complain("register needs a 'user', or a login that has one")
        place = _place(to) if to else None
        if not to and not destinations:
            section.value.complain("register needs 'with', a registrar's address, where the trunk has no destinations")
        registrar = Destination(*place) if place else destinations[0] if destinations else None
        if registrar is None:
            return None
        found = Registration(name, registrar)
        return replace(found, expires_s=round(scalars.duration(expires, 60.0, 86400.0))) if expires else found


# ---- what is said of a call


def _numbers(value: Value) -> Numbers:
    with value.section() as section:
        tables = {name.replace(" ", "_"): _table(item) for name in _TABLES if (item := section.get(name))}
    return Numbers(**tables)


def _table(value: Value) -> rewrite.Rewriting:
    rules: list[rewrite.Rule] = []
    for pattern, outcome in value.pairs():
        try:
            rules.append(rewrite.rule(pattern.text(), outcome.text()))
        except ValueError as error:
            if pattern.text() and outcome.text():
                pattern.complain(f"{value.label}: {error}")
    return rewrite.Rewriting(tuple(rules))


def _identity(section: Section) -> Identity:
    read: dict[str, Any] = {}
    for name, known in (
        ("caller from", CALLER_HEADERS),
        ("called from", CALLED_HEADERS),
        ("caller to", CALLER_HEADERS),
    ):
        if item := section.get(name):
            read[name.replace(" ", "_")] = tuple(dict.fromkeys(scalars.one_of(one, known) for one in item.items()))
    if item := section.get("own number"):
        read["own_number"] = scalars.number(item)
        if "*" in item.text():
            item.complain("own number is one number, not a prefix")
    identity = Identity(**read)
    if FROM not in identity.caller_to and not identity.own_number and (item := section.get("caller to")):
        item.complain("caller to is without From, so that 'own number' must say what stands there")
    return identity
