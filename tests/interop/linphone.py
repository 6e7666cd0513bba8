"""linphonec, the phone of the Linphone project for the terminal (Debian: linphone-cli), told what to do by commands.

Counterpart: Baresip in cli/demo/phones.py, which has the same verbs. Plays a tone, and keeps what it hears as WAV.
"""

import contextlib
import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

from cli.demo.phones import stop
from engine.callflow.settings import bracketed, is_v6
from tests.live import ear
from tests.live.floor import HOST, until

SAYS_S, STOP_WITHIN_S = 120.0, 3.0
RTP_FROM = 39_000  # four ports a phone
CODECS = {"opus": (48000, 2), "speex": (16000, 1), "PCMU": (8000, 1), "PCMA": (8000, 1), "G722": (8000, 1)}
ALSO = {"speex": (8000, 1), "G729": (8000, 1), "GSM": (8000, 1)}
Sections = dict[str, dict[str, Any]]  # of its settings
CERTIFICATES, IDENTITY = ".linphone-usr-crt", "linphone-dtls-default-identity"  # where it looks, for what name
ESTABLISHED, PAUSED, OVER = "Media streams established", "is now paused", (" ended (", " error.")


class Linphone:
    """One linphonec with one account, which logs in where `registrar` (host:port) is given.

    `encryption`: "", "srtp" (SDES) or "dtls"; it then insists. `proxy` (host:port) is where all requests go. It
    believes the TLS `certificate` alone."""

    def __init__(
        self,
        folder: Path,
        user: str,
        port: int,
        *,
        says: int,
        codec: str = "PCMA",
        transport: str = "udp",
        address: str = HOST,
        registrar: str = "",
        password: str = "",
        proxy: str = "",
        encryption: str = "",
        certificate: Path | None = None,
    ) -> None:
        self.user, self.port = user, port
        self.folder = folder.resolve() / f"linphone-{user}-{port}"
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / ".local/share/linphone").mkdir(parents=True)  # it does not start without
        if encryption == "dtls":
            (self.folder / CERTIFICATES).mkdir()
            (self.folder / CERTIFICATES / f"{IDENTITY}.pem").write_text(_identity())
        ear.write_tone(self.folder / "says.wav", says, SAYS_S)
        sections = _settings(user, port, transport, address, encryption, certificate) | _codecs(codec)
        sections["auth_info_0"] = {"username": user, "passwd": password}
        if certificate:  # the switch asks for one, and linphonec then asks its user
            sections["auth_info_0"] |= {"client_cert_chain": certificate, "client_cert_key": certificate}
        if registrar:
            sections["proxy_0"] = _account(user, transport, registrar, proxy)
        rows = [(f"[{name}]", *(f"{key}={value}" for key, value in keys.items())) for name, keys in sections.items()]
        (self.folder / "rc").write_text("\n".join(line for row in rows for line in row) + "\n")
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["linphonec", "-c", "rc", "-a", "-d", "6", "-l", "debug"],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "HOME": str(self.folder)},
            )
        for command in ("soundcard use files", "play says.wav", "record heard.wav"):
            self.ask(command)
        self.until("linphonec> record heard.wav")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ---- telling it what to do

    def ask(self, command: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()

    def dial(self, uri: str) -> None:
        self.ask(f"call {uri}")

    def hang_up(self) -> None:
        self.ask("terminate")

    def hold(self) -> None:
        """Until the far side has agreed."""
        self.ask("pause")
        self.until(PAUSED)

    def resume(self) -> None:
        n = self.count(ESTABLISHED)
        self.ask("resume 1")
        self.until(ESTABLISHED, n + 1)

    def transfer(self, uri: str) -> None:
        """Its first call, to somebody who is not on the line."""
        self.ask(f"transfer 1 {uri}")

    def transfer_to_consulted(self) -> None:
        """Its first call, to whom it has called since."""
        self.ask("transfer 1 --to-call 2")

    # ---- what it saw and heard

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def count(self, told: str) -> int:
        return self.log().count(told)

    def until(self, told: str, n: int = 1) -> None:
        """Until it has told this n times."""
        until(f"linphonec {self.user} tells {told!r}, number {n}", lambda: self.count(told) >= n)

    def until_gone(self) -> None:
        """Until its call is over."""
        until(f"the call of linphonec {self.user} is over", lambda: any(map(self.count, OVER)))

    def heard(self) -> list[Path]:
        """What came in, one file; nothing while it held the call."""
        return sorted(self.folder.glob("heard.wav"))

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """It hangs up and logs out, if it lives."""
        with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
            self.ask("quit")
            self._process.wait(STOP_WITHIN_S)
        stop(self._process)
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin
            self._process.stdin.close()


@functools.cache
def _identity() -> str:
    """Key and certificate for DTLS. It would make them at its first call, before it rings: that takes 0.1 to 3 s,
    depending on luck and on the machine, and a phone that is silent for so long is given up."""
    command = f"openssl req -x509 -newkey rsa:3072 -nodes -days 2 -subj /CN={IDENTITY} -keyout -"
    return subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout


def _settings(
    user: str, port: int, transport: str, address: str, encryption: str, certificate: Path | None
) -> Sections:
    ports = {"sip_port": 0, "sip_tcp_port": 0, "sip_tls_port": 0}
    ports["sip_port" if transport == "udp" else f"sip_{transport}_port"] = port
    media = RTP_FROM + port % 240 * 4
    sip = {
        **ports,
        "bind_address": address,
        "use_ipv6": int(is_v6(address)),
        "ipv6_migration_done": 1,  # else it takes the line above back
        "contact": f"sip:{user}@{bracketed(address)}",
        "guess_hostname": 0,
        "media_encryption": encryption or "none",
        "media_encryption_mandatory": int(bool(encryption)),
        "root_ca": certificate or "",
        "auto_net_state_mon": 0,  # it would find no network on a machine that has none
        "register_only_when_network_is_up": 0,
        "default_proxy": 0,
    }
    return {
        "sip": sip,
        "net": {"dns_srv_enabled": 0, "mtu": 1300},  # else it finds the MTU out first, which takes a second
        "rtp": {"audio_rtp_port": f"{media}-{media + 3}"},
        "sound": {"remote_ring": "", "local_ring": "", "echocancellation": 0},
        "video": {"capture": 0, "display": 0},
        "misc": {"history_max_size": 0},
    }


def _codecs(wanted: str) -> Sections:
    """What is not named here it would offer as well."""
    known = [(name, *how) for name, how in (*CODECS.items(), *ALSO.items())]
    return {
        f"audio_codec_{n}": {"mime": name, "rate": rate, "channels": channels, "enabled": int(name == wanted)}
        for n, (name, rate, channels) in enumerate(known)
    }


def _account(user: str, transport: str, registrar: str, proxy: str) -> dict[str, Any]:
    return {
        "reg_proxy": f"<sip:{proxy or registrar};transport={transport};lr>",
        "reg_identity": f"sip:{user}@{registrar}",
        "reg_expires": 120,
        "reg_sendregister": 1,
    }
