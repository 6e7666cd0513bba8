"""Independent SIP phones, run as subprocesses: baresip, told what to do over its control socket, and SIPp scenarios.

The demo and the live tests call with these, so that nothing of ours judges itself. baresip plays a tone or a sound
file and keeps what it hears as WAV; SIPp is for many callers at once, and for phones that misbehave.
"""

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import soundfile
import soxr

READY_WITHIN_S = 10.0
STOP_WITHIN_S = 1.0  # for a last BYE; nobody may be there to answer it
SOURCE_RATE = 8000  # Hz
SOURCE_S = 120.0  # baresip stops sending at the end of its file
MODULES = Path("/usr/lib/baresip/modules")


class PhoneError(Exception):
    """A phone could not be started or did not do what it was told."""


def _wait_for(what: str, is_so: Callable[[], bool], within_s: float) -> None:
    until = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > until:
            raise PhoneError(f"{what}: not within {within_s:g} s")
        time.sleep(0.01)


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Baresip:
    """One baresip with one account, which logs in where `registrar` (host:port) is given.

    `says` is a frequency in Hz or a WAV file; `codecs` and `encryption` (srtp-mand, dtls_srtp) as baresip names them;
    `proxy` (host:port) is where all requests go. For TLS, at the next port, it shows `certificate` (with its key) and
    believes nobody else's. What it hears is in heard(), from its sndfile module. `on_event(phone, event)` is called on
    a thread of the phone's own; event["type"] is CALL_INCOMING, CALL_ESTABLISHED, CALL_CLOSED ..."""

    def __init__(
        self,
        folder: Path,
        user: str,
        port: int,
        *,
        says: int | Path = 440,
        answers: bool = True,
        codecs: str = "PCMA",
        transport: str = "udp",
        address: str = "127.0.0.1",
        rtp_ports: str = "10000-20000",
        on_event: Callable[["Baresip", dict[str, Any]], None] | None = None,
        registrar: str = "",
        password: str = "",
        proxy: str = "",
        encryption: str = "",
        certificate: Path | None = None,
    ) -> None:
        self.user, self.port = user, port
        self.events: list[dict[str, Any]] = []
        self.folder = folder.resolve() / f"baresip-{user}-{port}"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        host = f"[{address}]" if ":" in address else address
        self._on_event = on_event
        self._token = 0
        self._replies: dict[str, dict[str, Any]] = {}
        control = _free_port()
        _write_source(self.folder / "source.wav", says)
        modules = [encryption.partition("-")[0]] if encryption else []  # first: `account` asks for it
        modules += ["g711", "g722", "opus", "aufile", "aubridge", "sndfile", "account", "menu", "ctrl_tcp"]
        (self.folder / "config").write_text(
            "\n".join(
                [
                    "poll_method epoll",
                    f"sip_listen {host}:{port}",
                    f"rtp_ports {rtp_ports}",
                    f"net_interface {address}",  # else it passes over loopback, which may be all there is
                    f"audio_source aufile,{self.folder / 'source.wav'}",
                    f"ausrc_srate {SOURCE_RATE}",
                    "audio_player aubridge,nobody",
                    "audio_alert aubridge,nobody",
                    "call_max_calls 4",
                    f"module_path {MODULES}",
                    *(f"module {name}.so" for name in modules if (MODULES / f"{name}.so").exists()),
                    f"snd_path {self.folder}",
                    f"ctrl_tcp_listen 127.0.0.1:{control}",
                    *([f"sip_cafile {certificate}", f"sip_certificate {certificate}"] if certificate else []),
                ]
            )
            + "\n"
        )
        mode = "auto" if answers else "manual"
        log_in = f"auth_pass={password};regint=60" if registrar else "regint=0"
        log_in += f';outbound="sip:{proxy};transport={transport}"' if proxy else ""
        audio = f"audio_codecs={codecs};ptime=20" + (f";mediaenc={encryption}" if encryption else "")
        (self.folder / "accounts").write_text(
            f"<sip:{user}@{registrar or f'{host}:{port}'};transport={transport}>"
            f";{log_in};answermode={mode};{audio}\n"
        )
        (self.folder / "contacts").write_text("")
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["baresip", "-f", str(self.folder)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._line = self._connect(control)
        threading.Thread(target=self._listen, name=f"baresip-{user}", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self, control: int) -> socket.socket:
        until = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                return socket.create_connection(("127.0.0.1", control), timeout=1)
            except OSError:
                if self._process.poll() is not None or time.monotonic() > until:
                    self.close()
                    log = (self.folder / "log").read_text(errors="replace")
                    raise PhoneError(f"baresip {self.user} did not start:\n{log}") from None
                time.sleep(0.02)

    # ---- telling it what to do

    def ask(self, command: str, parameters: str = "") -> str:
        """One of baresip's own commands; its answer."""
        self._token += 1
        token = str(self._token)
        message = json.dumps({"command": command, "params": parameters, "token": token}).encode()
        self._line.sendall(b"%d:%s," % (len(message), message))
        _wait_for(f"baresip {self.user}: {command}", lambda: token in self._replies, 5)
        reply = self._replies.pop(token)
        if not reply["ok"]:
            raise PhoneError(f"baresip {self.user}: {command} {parameters}: {reply.get('data')}")
        return str(reply.get("data", ""))

    def dial(self, uri: str) -> None:
        self.ask("dial", uri)

    def accept(self) -> None:
        self.ask("accept")

    def hang_up(self) -> None:
        self.ask("hangup")

    def hold(self) -> None:
        self.ask("hold")

    def resume(self) -> None:
        self.ask("resume")

    def press(self, keys: str) -> None:
        for key in keys:
            self.ask("sndcode", key)

    # ---- what it saw and heard

    def count(self, kind: str) -> int:
        return sum(event.get("type") == kind for event in self.events)

    def wait_for(self, kind: str, n: int = 1, within_s: float = 10.0) -> None:
        """Until the n-th event of this kind since the start."""
        _wait_for(f"baresip {self.user}: {kind} number {n}", lambda: self.count(kind) >= n, within_s)

    def until_gone(self) -> None:
        """Until its call is over."""
        self.wait_for("CALL_CLOSED")

    def heard(self) -> list[Path]:
        """What came in, a WAV file a call, oldest first."""
        return sorted(self.folder.glob("dump-*-dec.wav"))

    def kill(self) -> None:
        """As when the power fails."""
        self._process.kill()

    def close(self) -> None:
        stop(self._process)

    def _listen(self) -> None:
        pending = b""
        while True:
            try:
                data = self._line.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            if not data:
                return
            pending += data
            while match := re.match(rb"(\d+):", pending):
                begin, end = match.end(), match.end() + int(match[1])
                if len(pending) <= end:
                    break
                self._take(json.loads(pending[begin:end]))
                pending = pending[end + 1 :]

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("response"):
            self._replies[message.get("token", "")] = message
        elif message.get("event"):
            self.events.append(message)
            if self._on_event:
                self._on_event(self, message)


class Sipp:
    """One SIPp process with a scenario given as XML text. `calls` is how many it makes or takes before it ends by
    itself."""

    def __init__(
        self,
        folder: Path,
        name: str,
        scenario: str,
        port: int,
        *,
        to: str | None = None,
        calls: int | None = None,
        rate: float = 1.0,
        address: str = "127.0.0.1",
        options: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.folder = folder / f"sipp-{name}"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (self.folder / "scenario.xml").write_text(scenario)
        command = ["sipp", *([to] if to else []), "-sf", "scenario.xml", "-i", address, "-mi", address, "-p", str(port)]
        command += ["-nostdin", "-trace_err", "-error_file", "errors.log", "-timeout_error", "-skip_rlimit"]
        command += ["-r", f"{rate:g}", *(["-m", str(calls)] if calls else []), *options]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait(self, within_s: float = 60.0) -> None:
        """Until all its calls are over. Raises PhoneError with what it saw unless every call went by the scenario."""
        try:
            code = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise PhoneError(f"SIPp {self.name} is not done after {within_s:g} s\n{self._errors()}") from None
        if code:
            raise PhoneError(f"SIPp {self.name}: exit code {code}\n{self._errors()}")

    def is_done(self) -> bool:
        return self._process.poll() is not None

    def close(self) -> None:
        stop(self._process)

    def _errors(self) -> str:
        errors = self.folder / "errors.log"
        return errors.read_text(errors="replace")[-4000:] if errors.exists() else ""


def _write_source(path: Path, says: int | Path) -> None:
    """A tone, or a sound file over and over."""
    n = int(SOURCE_S * SOURCE_RATE)
    if isinstance(says, int):
        samples = 0.25 * np.sin(2 * np.pi * says * np.arange(n) / SOURCE_RATE)
    else:
        speech, rate = soundfile.read(says)
        samples = np.resize(soxr.resample(speech, rate, SOURCE_RATE), n)
    soundfile.write(path, samples, SOURCE_RATE, subtype="PCM_16")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
