"""PJSIP as this switch runs it: our settings in PJSIP's terms, and the refusal to start where they cannot hold.

Counterpart: endpoint.py, which runs what this file sets up. Everything wrong is found before the first call, and all of
it in one SipError. What PJSIP was compiled with stands in build.json, which the recipe in pjsip/ puts by the binding.
"""

import ctypes
import json
import logging
import resource
import ssl
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pjsua2 as pj

from engine.callflow import settings
from engine.callflow.errors import SipError
from engine.callflow.settings import bracketed, is_v6
from engine.sip import tls, translate

log = logging.getLogger(__name__)

RESOLV_CONF = Path("/etc/resolv.conf")
# RFC 4028: a dialog whose far side is gone ends that long after its last refresh, at the latest.
SESSION_EXPIRES_S, SESSION_MIN_S = 1800, 90
SDES, DTLS = pj.PJMEDIA_SRTP_KEYING_SDES, pj.PJMEDIA_SRTP_KEYING_DTLS_SRTP
# What PJSIP does, and the ways of keying that it takes; it offers the first alone. DTLS would take 6 kB of each leg.
_SRTP = {
    "off": (pj.PJMEDIA_SRTP_DISABLED, [SDES]),
    "offered": (pj.PJMEDIA_SRTP_OPTIONAL, [SDES, DTLS]),
    "required": (pj.PJMEDIA_SRTP_MANDATORY, [SDES, DTLS]),
    "required by dtls": (pj.PJMEDIA_SRTP_MANDATORY, [DTLS, SDES]),
}
DESCRIPTORS_A_LEG = 4  # two sockets for RTP, one for RTCP, a recording
SPARE_DESCRIPTORS = 1024  # beside those of legs: SIP connections, database, traces
MOST_DESCRIPTORS = 65536
LOG_LEVEL = 2  # errors and warnings; filtered in C, before a message is formatted

# The C library under the binding, for what pjsua2 leaves out: dlsym looks through everything _pjsua2 is linked with.
C = ctypes.CDLL(pj._pjsua2.__file__)


def compiled_limits() -> dict[str, int]:
    path = Path(pj.__file__).resolve().parent.parent / "build.json"
    try:
        limits: dict[str, int] = json.loads(path.read_text())["limits"]
    except (OSError, ValueError, KeyError) as error:
        raise SipError(f"PJSIP: no record of its compiled limits at {path} ({error}); build it with `make`") from error
    return limits


def check_limits(sip: settings.Sip, limits: settings.Limits) -> list[str]:
    """What of the configuration PJSIP could not hold; it would clamp or fail in mid-call without a word."""
    compiled, legs, problems = compiled_limits(), limits.n_legs, []
    for name, unit, wanted in (
        ("PJSUA_MAX_CALLS", "legs", legs),
        ("PJSUA_MAX_CONF_PORTS", "conference ports", n_ports_wanted(limits)),
        ("PJ_IOQUEUE_MAX_HANDLES", "RTP and RTCP sockets", 2 * legs),
        ("PJSIP_MAX_DIALOG_COUNT", "dialogs", legs),
    ):
        if wanted > compiled.get(name, 0):
            problems.append(
                f"limits.max_calls {limits.max_calls} needs {wanted} {unit}, but PJSIP was compiled for"
                f" {compiled.get(name, 0)} ({name} in pjsip/config_site.h)"
            )
    if sip.rtp_from % 2:
        problems.append(f"sip.rtp {sip.rtp_from}-{sip.rtp_to} must begin with an even port (RFC 3550 section 11)")
    if sip.udp_port is None and sip.tcp_port is None and sip.tls is None:
        problems.append("sip: udp, tcp and tls are all off; calls could not come in")
    return problems


def raise_descriptors(limits: settings.Limits) -> list[str]:
    """As many files and sockets as the system lets this process have. Where accept() finds none left, PJSIP stops
    listening for good, so there must be enough for every connection that it would take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < (wanted := DESCRIPTORS_A_LEG * limits.n_legs + SPARE_DESCRIPTORS):
        return [
            f"limits.max_calls {limits.max_calls} needs {wanted} file descriptors, and this process may have {hard}"
            " (ulimit -Hn; LimitNOFILE of systemd)"
        ]
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    return []


def n_ports_wanted(limits: settings.Limits) -> int:
    """Each leg's stream and as many more: music for a waiting caller, and ports that the bridge has yet to take out."""
    return 2 * limits.n_legs


def library_config(limits: settings.Limits, clock_rate: int) -> pj.EpConfig:
    config = pj.EpConfig()
    agent, media, log = config.uaConfig, config.medConfig, config.logConfig
    agent.threadCnt, agent.mainThreadOnly = 0, True  # all callbacks on the engine's thread
    agent.maxCalls = limits.n_legs
    agent.userAgent = f"Agner/{_version()}"
    agent.natTypeInSdp = 0
    for server in name_servers():
        agent.nameserver.append(server)  # PJSIP then resolves names itself; the system's way would stop every call
    media.clockRate = media.sndClockRate = clock_rate
    media.maxMediaPorts = n_ports_wanted(limits)
    media.audioFramePtime = media.ptime = 20
    media.noVad = True  # a recording needs every frame
    # Without a fixed start the jitter buffer runs empty, and later throws a frame away, in each stream whose packets
    # land on the bridge's tick. Two frames of delay cover that; what a stall adds is kept, up to jbMax, not cut out.
    media.jbInit, media.jbMinPre, media.jbMaxPre, media.jbMax = 40, 40, 120, 240
    media.jbDiscardAlgo = pj.PJMEDIA_JB_DISCARD_NONE
    media.ecTailLen = 0
    media.sndAutoCloseTime = -1  # the bridge's clock never stops
    log.level, log.consoleLevel, log.msgLogging = LOG_LEVEL, 0, 0
    log.decor = pj.PJ_LOG_HAS_SENDER
    # PJSIP deletes its writer itself, so Python must not.
    log.writer = translate.LogWriter().__disown__()
    return config


def name_servers() -> list[str]:
    """The machine's own, IPv4 only as in PJSIP. A name that stands only in /etc/hosts is not found then."""
    try:
        lines = RESOLV_CONF.read_text().splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines if line.startswith("nameserver")]
    return [word[1] for word in words if len(word) > 1 and ":" not in word[1]][:4]


def account_config(sip: settings.Sip, srtp: str, far: str = "") -> pj.AccountConfig:
    """`srtp`: one of settings.SRTP. `far`: an address of the family whose calls go by it; else the preferred one's."""
    config = pj.AccountConfig()
    config.idUri = f"sip:agner@{own_host(sip, far)}"
    config.natConfig.sipOutboundUse = 0
    config.natConfig.viaRewriteUse = config.natConfig.sdpNatRewriteUse = 0
    # Else PJSIP connects to a phone's Contact, wherever that is, to learn a port that nobody listens at.
    config.natConfig.contactUseSrcPort = 0
    call = config.callConfig
    call.prackUse = pj.PJSUA_100REL_OPTIONAL  # RFC 3262: where the far side asks for it or offers it
    call.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
    call.timerSessExpiresSec, call.timerMinSESec = SESSION_EXPIRES_S, SESSION_MIN_S
    media = config.mediaConfig
    # A phone that answers with two codecs would else get a re-INVITE in every call.
    media.lockCodecEnabled = False
    media.srtpUse, keyings = _SRTP[srtp]
    for keying in keyings:
        media.srtpOpt.keyings.append(keying)
    media.srtpSecureSignaling = 0  # SDES over plain SIP is the administrator's to judge
    rtp = media.transportConfig
    rtp.port, rtp.portRange = sip.rtp_from, sip.rtp_to - sip.rtp_from
    own, told = sip.address_for(far or sip.address)
    # Left to choose, PJSIP would ask a name server for our host name at each call that we make, and wait for it.
    media.ipv6Use = pj.PJSUA_IPV6_ENABLED_USE_IPV6_ONLY if is_v6(own) else pj.PJSUA_IPV6_DISABLED
    _set_addresses(rtp, own, told)
    return config


def srtp_in(trunks: Sequence[settings.Trunk], phones: Sequence[str]) -> str:
    """Of calls that come in. One account takes them all; what a trunk or a phone may send is tried one by one."""
    ways = {*(trunk.srtp for trunk in trunks), *phones} or {"off"}
    return ways.pop() if len(ways) == 1 else "offered"


def transport_config(own: str, told: str | None, port: int) -> pj.TransportConfig:
    config = pj.TransportConfig()
    config.port = port
    _set_addresses(config, own, told)
    return config


def own_host(sip: settings.Sip, far: str = "") -> str:
    """The host part of our own URIs, as `far` can reach it."""
    own, told = sip.address_for(far or sip.address)
    return bracketed(told or own)


def own_uri(sip: settings.Sip, far: str = "") -> str:
    """Where a request that we sent to `far` can be answered."""
    ports = {"": sip.udp_port, ";transport=tcp": sip.tcp_port, ";transport=tls": sip.tls and sip.tls.port}
    transport, port = next((name, port) for name, port in ports.items() if port is not None)
    return f"sip:agner@{own_host(sip, far)}:{port}{transport}"


def open_transports(endpoint: pj.Endpoint, sip: settings.Sip) -> list[str]:
    return [problem for address in sip.addresses for problem in _open_at(endpoint, sip, *sip.address_for(address))]


def _open_at(endpoint: pj.Endpoint, sip: settings.Sip, own: str, told: str | None) -> list[str]:
    problems = []
    for name, kind, port in (
        ("udp", pj.PJSIP_TRANSPORT_UDP6 if is_v6(own) else pj.PJSIP_TRANSPORT_UDP, sip.udp_port),
        ("tcp", pj.PJSIP_TRANSPORT_TCP6 if is_v6(own) else pj.PJSIP_TRANSPORT_TCP, sip.tcp_port),
    ):
        if port is None:
            continue
        try:
            endpoint.transportCreate(kind, transport_config(own, told, port))
        except pj.Error as error:
            problems.append(f"sip.{name} {bracketed(own)}:{port} cannot be opened: {translate.reason_of(error)}")
    if one := sip.tls:
        try:
            tls.listen(
                *(own, one.port, told or "", one.certificate, one.key, one.authorities),
                *(one.verifies_clients, one.verifies_servers),
            )
        except OSError as error:
            problems.append(f"sip.tls {bracketed(own)}:{one.port} cannot be opened: {error}")
    return problems


def renew_certificate(wanted: settings.Tls | None) -> None:
    """A renewed one counts for new connections; what is broken is left out, and the old one stays. Logs."""
    if wanted is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(wanted.certificate, wanted.key)
        tls.reload()
    except OSError as error:
        log.error("sip.tls: certificate not renewed: %s", error)


def set_codecs(endpoint: pj.Endpoint, wanted: tuple[str, ...]) -> list[str]:
    """Offer and accept the wanted codecs in this order, and no other."""
    names = {codec.codecId.partition("/")[0].lower(): codec.codecId for codec in endpoint.codecEnum2()}
    problems = [
        f"sip.codecs: {name} is not in this PJSIP, which has {', '.join(names.values())}"
        for name in wanted
        if name.lower() not in names
    ]
    order = [name.lower() for name in wanted]
    for name, codec in names.items():
        endpoint.codecSetPriority(codec, 255 - order.index(name) if name in order else 0)
    return problems


def audio_only() -> pj.CallOpParam:
    """PJSIP 2.17 offers and takes m=text by default; ending such a stream holds its thread, ours, for 0.3 s."""
    prm = pj.CallOpParam(True)
    prm.opt.audioCount, prm.opt.videoCount, prm.opt.textCount = 1, 0, 0
    return prm


def _set_addresses(transport: pj.TransportConfig, own: str, told: str | None) -> None:
    if own not in ("0.0.0.0", "::"):
        transport.boundAddress = own
    if told:
        transport.publicAddress = told


def _version() -> str:
    try:
        return version("agner")
    except PackageNotFoundError:
        return "source"
