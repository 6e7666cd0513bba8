"""switch.yaml -> Settings.

Counterpart: engine/callflow/settings.py, which has the types and the defaults; a key left out keeps the default
there.
"""

import re
from pathlib import Path
from typing import Any

from engine.callflow.settings import SRTP, Gate, Limits, Recording, Settings, Sip, WebLookUp, is_v6
from engine.config import scalars
from engine.config.registrar import read_registrar
from engine.config.tls import read_tls
from engine.config.trunks import read_trunks
from engine.config.yaml_nodes import Report, Section, Value, guess, is_file, read_yaml

CODECS = ("PCMA", "PCMU", "G722", "opus")
PORTS_PER_LEG = 2  # RTP and RTCP
NUMBER = "{number}"  # where a telephone number goes
_DATABASES = ("sqlite", "postgresql", "mysql", "mariadb")
_RATES = ("8000", "16000", "24000", "32000", "44100", "48000")


def read_settings(path: Path, report: Report) -> Settings:
    """Settings with the defaults for all that the file leaves out."""
    value = read_yaml(path, report, "no trunk is described, so nobody could call")
    if value is None:
        return Settings(Sip(), (), Limits(), Recording())
    with value.section() as top:
        sip = _sip(top.get("sip"))
        limits = _limits(top.get("limits"))
        recording = _recording(top.get("recording"))
        trunks = read_trunks(top.need("trunks"))
        look_ups, registrar = _look_ups(top.get("look-ups")), read_registrar(top.get("registrar"))
        _check_ports(top, sip, limits)
        return Settings(sip, trunks, limits, recording, look_ups=look_ups, registrar=registrar, **_top(top))


def _top(top: Section) -> dict[str, Any]:
    read: dict[str, Any] = {}
    if value := top.get("storage"):
        read["storage"] = _storage(value)
    for name in ("folder", "prompts"):
        if value := top.get(name):
            read[name] = _folder(value)
    if value := top.get("clock rate"):
        read["clock_rate"] = int(scalars.one_of(value, ("8000", "16000", "32000", "48000")))
    if value := top.get("trace days"):
        read["trace_days"] = scalars.count(value, 1, 3650)
    return read


def _sip(value: Value | None) -> Sip:
    if value is None:
        return Sip()
    read: dict[str, Any] = {}
    with value.section() as sip:
        read |= _addresses(sip)
        for name in ("udp port", "tcp port"):
            if item := sip.get(name):
                read[name.replace(" ", "_")] = scalars.port(item)
        if item := sip.get("rtp ports"):
            read["rtp_from"], read["rtp_to"] = scalars.port_range(item)
        if item := sip.get("codecs"):
            read["codecs"] = _codecs(item)
        if item := sip.get("ringing within"):
            read["ringing_within_s"] = scalars.duration(item, 0.5, 32.0)
        for name in ("rtp timeout", "rtp timeout on hold"):
            if item := sip.get(name):
                read[name.replace(" ", "_") + "_s"] = scalars.duration_or_off(item, 1.0, 86400.0)
        if item := sip.get("strangers"):
            read["gate"] = _gate(item)
        if item := sip.get("tls"):
            read["tls"] = read_tls(item)
        if item := sip.get("srtp"):
            read["srtp"] = scalars.one_of(item, SRTP)
    settings = Sip(**read)
    if settings.udp_port is None and settings.tcp_port is None and settings.tls is None:
        value.complain("udp, tcp and tls ports are all off, so nobody could call")
    return settings


def _addresses(sip: Section) -> dict[str, str]:
    """`address: 192.0.2.10`, or one of each family: `address: [192.0.2.10, "2001:db8::10"]`."""
    own, told = (_by_family(sip.get(name)) for name in ("address", "public address"))
    read = dict(zip(("address", "second_address"), own.values(), strict=False))
    families = list(own) or [is_v6(Sip().address)]
    for family, address in told.items():
        if family in families:
            read["second_public_address" if families.index(family) else "public_address"] = address
        elif value := sip.get("public address"):
            value.complain(f"public address {address}: `address` has none of its family")
    return read


def _by_family(value: Value | None) -> dict[bool, str]:
    """IPv6? -> address, in the order of the file."""
    found: dict[bool, str] = {}
    for item in value.items() if value else ():
        n_complaints = len(item.report.found)
        address = scalars.address(item)
        if len(item.report.found) > n_complaints:
            continue
        if is_v6(address) in found:
            item.complain(f"{address} is a second address of IPv{6 if is_v6(address) else 4}; one of each family")
        found.setdefault(is_v6(address), address)
    return found


def _gate(value: Value) -> Gate:
    """`strangers:` what is done with requests from addresses of no trunk and no phone."""
    read: dict[str, Any] = {}
    with value.section() as gate:
        if item := gate.get("answer"):
            read["tells_strangers"] = scalars.one_of(item, ("403", "none")) == "403"
        if item := gate.get("requests per second"):
            read["per_s"] = float(scalars.count(item, 1, 10_000))
        if item := gate.get("requests at once"):
            read["burst"] = scalars.count(item, 1, 100_000)
        if item := gate.get("ban after"):
            read["ban_after"] = scalars.count(item, 0, 1_000_000)
        if item := gate.get("ban for"):
            read["ban_s"] = scalars.duration(item, 1.0)
    return Gate(**read)


def _codecs(value: Value) -> tuple[str, ...]:
    codecs: list[str] = []
    for item in value.items():
        codec = scalars.one_of(item, CODECS, "codec")
        if codec in codecs and item.text() == codec:
            item.complain(f"codec {codec} stands here already")
        codecs.append(codec)
    if not codecs and value.is_list:
        value.complain("codecs is empty")
    return tuple(codecs)


def _limits(value: Value | None) -> Limits:
    if value is None:
        return Limits()
    read: dict[str, Any] = {}
    with value.section() as limits:
        if item := limits.get("max calls"):
            read["max_calls"] = scalars.count(item, 1, 100_000)
        if item := limits.get("retry after"):
            read["retry_after_s"] = round(scalars.duration(item, 1.0, 3600.0))
        if item := limits.get("max load"):
            read["max_load"] = scalars.percent(item) / 100
        if item := limits.get("max talk"):
            read["max_talk_s"] = scalars.duration(item, 1.0)
        if item := limits.get("drain"):
            read["drain_s"] = scalars.duration(item)
        if item := limits.get("ending"):
            read["ending_s"] = scalars.duration(item, 33.0, 600.0)
    return Limits(**read)


def _recording(value: Value | None) -> Recording:
    if value is None:
        return Recording()
    read: dict[str, Any] = {}
    with value.section() as recording:
        if item := recording.get("calls"):
            read["calls"] = scalars.one_of(item, ("answered", "talked", "none"))
        if item := recording.get("folder"):
            read["folder"] = _folder(item)
        if item := recording.get("format"):
            read["format"] = scalars.one_of(item, ("wav", "flac"))
        if item := recording.get("rate"):
            read["rate"] = int(scalars.one_of(item, _RATES))
    return Recording(**read)


def _look_ups(value: Value | None) -> dict[str, WebLookUp]:
    """Web servers that plans may ask: `crm: {url: "http://host/customers/{number}", fields: {level: data.level}}`."""
    found: dict[str, WebLookUp] = {}
    for key, item in value.pairs() if value else ():
        name = scalars.name(key)
        if name == "customers":
            key.complain('"customers" is the look-up in the database: choose another name')
        with item.section() as section:
            url, within, fields = section.need("url"), section.get("within"), section.need("fields")
            if url and NUMBER not in url.text():
                url.complain(f"url has no place for the number (http://host/customers/{NUMBER})")
            found[name] = WebLookUp(
                name,
                _web_address(url) if url else "",
                scalars.duration(within, 0.05, 10.0) if within else WebLookUp("", "").within_s,
                {scalars.name(field): _json_path(path) for field, path in fields.pairs()} if fields else {},
            )
    return found


def _web_address(value: Value) -> str:
    scalars.web_address(value.part(value.text().replace(NUMBER, "1")))
    return value.text()


def _json_path(value: Value) -> str:
    """`customer.id`: keys of objects, one in the other."""
    text = value.text()
    if text and not re.fullmatch(r"[^.\s]+(\.[^.\s]+)*", text):
        value.complain(f"{value.label}: {text!r} is not a way into a JSON object (customer.level)")
    return text


def _check_ports(top: Section, sip: Sip, limits: Limits) -> None:
    n_ports, needed = sip.rtp_to - sip.rtp_from + 1, limits.n_legs * PORTS_PER_LEG
    if n_ports < needed:
        culprit = top.get("limits") or top.get("sip") or top.value
        culprit.complain(
            f"max calls {limits.max_calls} needs {needed} RTP ports, {PORTS_PER_LEG} a leg; "
            f"rtp ports {sip.rtp_from}-{sip.rtp_to} gives {n_ports}"
        )


def _folder(value: Value) -> str:
    text = value.text()
    if "\0" in text or is_file(Path(text)):
        value.complain(f"{value.label}: {text!r} is not a folder")
    return text


def _storage(value: Value) -> str:
    text = value.text()
    found = re.match(r"([A-Za-z0-9]+)(\+\w+)?://", text)
    if text and not found:
        value.complain(f"storage: {text!r} is not an SQLAlchemy URL (sqlite:///var/agner.db?)")
    elif found and found[1] not in _DATABASES:
        value.complain(f"storage: database {found[1]!r} is not known here{guess(found[1], _DATABASES)}")
    return text
