"""How this switch is set up: where it listens, whom it trusts, its limits. Counterpart: config.py builds these from
switch.yaml.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from engine.callflow.rewrite import Rewriting


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a trunk's calls go. Priority and weight as in RFC 2782: the lowest priority first, weight shares the calls
    among equals."""

    host: str  # an address, or a name for DNS (RFC 3263)
    port: int | None = None  # None: as DNS says, else 5060
    transport: str = ""  # udp, tcp; empty: as DNS says, else udp
    priority: int = 1
    weight: int = 1

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"sip:{host}{port}" + (f";transport={self.transport}" if self.transport else "")


ALGORITHMS = ("SHA-256", "MD5")  # RFC 8760; the preferred one first


@dataclass(frozen=True, slots=True)
class Login:
    """A user and where the password is found; the password itself stands nowhere in a configuration."""

    user: str
    realm: str  # nobody else's challenge is answered
    password_file: str = ""
    password_variable: str = ""  # of the environment, where there is no file
    algorithms: tuple[str, ...] = ALGORITHMS  # of our challenges; old equipment looks at the first alone


@dataclass(frozen=True, slots=True)
class Registration:
    """We register with the carrier, which then calls us at our address."""

    user: str  # of the address that is registered
    registrar: Destination
    expires_s: int = 600  # asked for; the carrier's answer counts


@dataclass(frozen=True, slots=True)
class Probing:
    """OPTIONS to each destination."""

    every_s: float = 30.0
    n_lost: int = 3  # then it is gone, until it answers again


@dataclass(frozen=True, slots=True)
class Numbers:
    """How a trunk writes numbers, and we. Towards us: applied before a plan sees them; away: before we dial."""

    called_in: Rewriting = Rewriting()
    caller_in: Rewriting = Rewriting()
    called_out: Rewriting = Rewriting()
    caller_out: Rewriting = Rewriting()


ASSERTED, REMOTE_PARTY, FROM = "P-Asserted-Identity", "Remote-Party-ID", "From"  # RFC 3325, its draft, RFC 3261
CALLER_HEADERS = (ASSERTED, REMOTE_PARTY, FROM)
REQUEST_URI, TO, DIVERSION, HISTORY = "Request-URI", "To", "Diversion", "History-Info"  # RFC 3261, 5806, 7044
CALLED_HEADERS = (REQUEST_URI, TO, DIVERSION, HISTORY)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose word about a caller counts, and what we say of ours."""

    caller_from: tuple[str, ...] = (ASSERTED, FROM)  # the first that is there
    called_from: tuple[str, ...] = (REQUEST_URI,)
    caller_to: tuple[str, ...] = (FROM,)  # headers that carry the caller's number when we call
    own_number: str = ""  # in From where the caller's number is not, and asserted for a caller who withheld theirs


# What a trunk's, or the phones', audio may be: plain alone; either, as the far side can; encrypted alone (RFC 3711).
# Keys are taken by SDES (RFC 4568) or DTLS (RFC 5763) as they are offered; we offer SDES, with the last one DTLS.
SRTP = ("off", "offered", "required", "required by dtls")


@dataclass(frozen=True, slots=True)
class Trunk:
    """A carrier or PBX, known by the addresses its signalling comes from."""

    name: str
    sources: tuple[IPv4Network | IPv6Network, ...]
    max_calls: int | None = None  # in both directions together
    max_calls_per_s: float | None = None  # new calls that come in above it get 503
    early_media: bool = False  # audio before the answer reaches the caller (183)
    max_calls_in: int | None = None
    max_calls_out: int | None = None
    max_calls_per_s_out: float | None = None
    destinations: tuple[Destination, ...] = ()  # for calls that the switch makes; empty: none go out here
    silent_within_s: float = 1.0  # a destination that sent nothing by then, not even 100, is passed over
    probing: Probing | None = Probing()
    overflow: str = ""  # the trunk that takes what this one cannot
    login: Login | None = None  # with which the carrier's challenges are answered
    challenge: Login | None = None  # with which the carrier must answer ours
    registration: Registration | None = None
    numbers: Numbers = Numbers()
    identity: Identity = Identity()
    srtp: str = "off"
    large_by_tcp: bool = False  # requests above 1,300 bytes to destinations of UDP


@dataclass(frozen=True, slots=True)
class WebLookUp:
    """A web server that knows customers: GET, and a JSON object comes back. 404 means that it knows nobody."""

    name: str
    url: str  # with `{number}`
    within_s: float = 1.0
    fields: Mapping[str, str] = field(default_factory=dict)  # value -> where the answer has it, such as `customer.id`


@dataclass(frozen=True, slots=True)
class Gate:
    """What a stranger may do, that is an address of no trunk and no phone, and what shape a message may have.

    A known address is never banned, and a stranger only after many refusals: one forged datagram shuts nobody out.
    """

    tells_strangers: bool = False  # 403; else silence
    per_s: float = 8.0  # requests of one stranger that are looked at ...
    burst: int = 16  # ... and so many at once
    ban_after: int = 50  # refusals within ban_window_s; 0: nobody is banned
    ban_window_s: float = 60.0
    ban_s: float = 300.0
    answers_per_s: float = 50.0  # to all strangers together
    n_sources: int = 65536  # strangers remembered
    max_headers: int = 128
    max_media: int = 8  # m= lines
    max_crypto: int = 16  # a=crypto lines
    max_parts: int = 16  # boundaries of a multipart body


@dataclass(frozen=True, slots=True)
class Tls:
    """SIP over TLS 1.2 and 1.3. Files in PEM format; read again by a reload."""

    port: int
    certificate: str  # with the chain up to, but without, the root
    key: str
    authorities: str = "/etc/ssl/certs/ca-certificates.crt"  # who may vouch for the far side
    verifies_clients: bool = False  # who connects to us must show a certificate
    verifies_servers: bool = True  # whom we connect to must


@dataclass(frozen=True, slots=True)
class Sip:
    address: str = "127.0.0.1"
    second_address: str | None = None  # of the other family: IPv6 beside IPv4, or IPv4 beside IPv6
    udp_port: int | None = 5060  # None: off
    tcp_port: int | None = 5060
    public_address: str | None = None  # written into Contact and SDP where the switch stands behind a NAT
    second_public_address: str | None = None
    rtp_from: int = 20000
    rtp_to: int = 29999
    codecs: tuple[str, ...] = ("PCMA", "PCMU", "G722", "opus")  # by preference
    ringing_within_s: float = 4.0  # a called phone that sent nothing by then is unreachable
    gate: Gate = Gate()
    tls: Tls | None = None
    srtp: str = "off"  # of phones; a trunk has its own
    # An answered leg from which neither RTP nor RTCP came for so long is over (None: never); the second, where it is on
    # hold by its SDP or ours, as many phones then send nothing.
    rtp_timeout_s: float | None = 60.0
    rtp_timeout_on_hold_s: float | None = 1800.0

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those listened at: one, or one of each family, the preferred first."""
        return (self.address,) if self.second_address is None else (self.address, self.second_address)

    def address_for(self, far: str) -> tuple[str, str | None]:
        """Our own address towards a far one, and what the far side is told instead of it (None: the same)."""
        if self.second_address is not None and is_v6(far) == is_v6(self.second_address):
            return self.second_address, self.second_public_address
        return self.address, self.public_address


def is_v6(address: str) -> bool:
    return ":" in address


def bracketed(address: str) -> str:
    """An address as in a URI."""
    return f"[{address}]" if is_v6(address) else address


@dataclass(frozen=True, slots=True)
class Registrar:
    """How phones log in: those of agents whose `phone` is `registered`."""

    realm: str = "agner"  # of which passwords are kept; another realm makes them all void
    min_expires_s: int = 60  # a phone that asks for less is told (423)
    max_expires_s: int = 3600  # more than this is cut
    n_contacts: int = 5  # phones of one agent at once
    keep_alive_s: float = 30.0  # how often each phone is asked whether it is there (OPTIONS)
    n_unanswered: int = 3  # so many unanswered in a row: the phone is gone
    nonce_s: float = 300.0  # a phone may use one challenge for so long
    algorithms: tuple[str, ...] = ("SHA-256", "MD5")  # offered, the preferred one first


SPARE_LEGS = 64  # calls being refused, and legs that end: PJSIP keeps both until the far side has agreed, or for 32 s


@dataclass(frozen=True, slots=True)
class Limits:
    max_calls: int = 1000  # calls from trunks at once; one more gets 503
    retry_after_s: int = 10  # told with that 503
    max_load: float = 0.9  # of one core, by the engine's thread; above it new calls get 503
    max_talk_s: float = 10800.0
    drain_s: float = 30.0  # how long SIGTERM lets talks finish
    # a leg that has not ended by then is dropped (longer than Timer B and F, RFC 3261 section 17)
    ending_s: float = 35.0

    @property
    def n_legs(self) -> int:
        """Legs at once: a caller's and a called one for each call, and the spare. Each has two RTP ports."""
        return 2 * self.max_calls + SPARE_LEGS


@dataclass(frozen=True, slots=True)
class Recording:
    calls: str = "answered"  # none; answered: from the answer on; talked: from the bridge on
    folder: str = "var/recordings"
    format: str = "wav"  # wav, flac
    rate: int = 8000  # Hz


@dataclass(frozen=True, slots=True)
class Settings:
    sip: Sip
    trunks: tuple[Trunk, ...]
    limits: Limits
    recording: Recording
    storage: str = "sqlite:///var/agner.db"  # SQLAlchemy URL
    folder: str = "var"  # trace, control socket
    prompts: str = "prompts"
    clock_rate: int = 8000  # Hz of the conference bridge
    trace_days: int = 14  # traces older than this are removed
    look_ups: Mapping[str, WebLookUp] = field(default_factory=dict)
    registrar: Registrar = Registrar()


@dataclass(frozen=True, slots=True)
class SoundFiles:
    """What may be played, as the manifest in the prompts folder names it."""

    prompts: Mapping[str, Mapping[str, Path]]  # prompt -> language -> file
    music: Mapping[str, Path]
    parts: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)  # language -> part as say() names it -> file
