"""Asterisk 22 under the same load: app_queue and MixMonitor of Debian sid, in a folder of the cache.

install() debootstraps it there; nothing of it is outside that folder, and `make distclean` removes it. It runs in a
chroot as root, on a configuration written anew for each run: only the modules it needs, no direct media, one codec, no
CDR, CEL or queue log on disk. Counterpart: daemon.py does the same for Agner.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import soundfile
import soxr

from benchmarks.layout import (
    BACK_OFFICE,
    CHECKOUT,
    DIES_WITH_US,
    LANGUAGE,
    OUTSIDE,
    PROMPTS,
    Layout,
    SwitchError,
    agent_users,
)
from benchmarks.machine import Usage
from benchmarks.scenario import ENTRANCES, Scenario

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agner" / "asterisk"
ROOT = CACHE / "root"
SUITE = "sid"  # Debian 12 and 13 have no Asterisk
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
START_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0
INSIDE = "/bench"  # of the chroot: all that a run writes

MODULES = (
    "app_dial app_mixmonitor app_playback app_queue app_read app_stack bridge_builtin_features bridge_native_rtp "
    "bridge_simple chan_pjsip codec_a_mu codec_alaw codec_ulaw format_pcm format_wav func_callerid func_channel "
    "pbx_config res_musiconhold res_pjproject res_pjsip res_pjsip_caller_id res_pjsip_dtmf_info "
    "res_pjsip_endpoint_identifier_ip res_pjsip_pubsub res_pjsip_sdp_rtp res_pjsip_session res_rtp_asterisk "
    "res_sorcery_astdb res_sorcery_config res_sorcery_memory res_timing_timerfd"
).split()


def is_there() -> bool:
    return (CACHE / "ready").is_file()


def install(say: Callable[[str], None]) -> None:
    """Some minutes and 600 MB the first time; at once when it is there. Raises SwitchError."""
    if is_there():
        return
    if os.geteuid():
        raise SwitchError("Asterisk runs in a chroot, which needs root: sudo make bench-peers")
    mirror = _mirror()
    say(f"installing Asterisk of Debian {SUITE} from {mirror} into {CACHE} (600 MB; `make distclean` removes it)")
    shutil.rmtree(CACHE, ignore_errors=True)
    CACHE.mkdir(parents=True)
    with (CACHE / "install.log").open("wb") as log:

        def do(*command: str | Path, **environment: str) -> None:
            where = os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"} | environment
            done = subprocess.run(command, cwd=CACHE, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=where)
            if done.returncode:
                raise SwitchError(f"`{' '.join(map(str, command))}` failed: see {CACHE / 'install.log'}")

        # debootstrap itself is unpacked there, too, not installed.
        do("apt-get", "download", "debootstrap")
        do("dpkg", "-x", next(CACHE.glob("debootstrap_*.deb")), CACHE / "tools")
        say("debootstrap")
        tools = CACHE / "tools/usr"
        do(
            tools / "sbin/debootstrap", "--variant=minbase", f"--keyring={KEYRING}", SUITE, ROOT, mirror,
            DEBOOTSTRAP_DIR=str(tools / "share/debootstrap"),
        )  # fmt: skip
        refuse = ROOT / "usr/sbin/policy-rc.d"  # no service is started by being installed
        refuse.write_text("#!/bin/sh\nexit 101\n")
        refuse.chmod(0o755)
        shutil.copy("/etc/resolv.conf", ROOT / "etc/resolv.conf")
        say("Asterisk")
        do("chroot", ROOT, "apt-get", "-y", "-q", "--no-install-recommends", "install", "asterisk")
        do("chroot", ROOT, "apt-get", "clean")
    (CACHE / "ready").touch()


def _mirror() -> str:
    """The Debian mirror that this machine uses."""
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Origin: Debian"],
        capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    mirrors = [site for site in told if "security" not in site]
    if not mirrors:
        raise SwitchError("no Debian mirror is set up on this machine (`apt-get update`), so no Asterisk can be had")
    return mirrors[0]


def configuration(layout: Layout, scenario: Scenario) -> Mapping[str, str]:
    """File of /etc/asterisk -> text."""
    codec = {"PCMA": "alaw", "PCMU": "ulaw"}[scenario.codec]
    users = agent_users(scenario)
    (out_ip, out_port), (second_ip, second_port) = layout.carriers
    endpoint = (
        f"type = endpoint\ncontext = bench\ndisallow = all\nallow = {codec}\ndirect_media = no\nrtp_symmetric = no\n"
    )
    pjsip = [
        "[global]\ntype = global\nendpoint_identifier_order = ip\n",
        "[system]\ntype = system\n",
        f"[udp]\ntype = transport\nprotocol = udp\nbind = {layout.switch[0]}:{layout.switch[1]}\n",
        f"[agent](!)\n{endpoint}",
        "[aor](!)\ntype = aor\nqualify_frequency = 0\n",
        f"[bench]\n{endpoint}",
        f"[bench]\ntype = identify\nendpoint = bench\nmatch = {layout.callers[0]}\n",
        f"[first](agent)\naors = first\n[first](aor)\ncontact = sip:{OUTSIDE}@{out_ip}:{out_port}\n",
        f"[second](agent)\naors = second\n[second](aor)\ncontact = sip:{OUTSIDE}@{second_ip}:{second_port}\n",
        f"[office](agent)\naors = office\n[office](aor)\ncontact = sip:{BACK_OFFICE}@{second_ip}:{second_port}\n",
    ]
    for user in users:
        contact = f"sip:{user}@{layout.agents[0]}:{layout.agents[1]}"
        pjsip.append(f"[{user}](agent)\naors = {user}\n[{user}](aor)\ncontact = {contact}\n")
    queue = [
        "[general]\npersistentmembers = no\nautofill = yes\nlog_membername_as_agent = no\n",
        f"[floor]\nstrategy = leastrecent\nringinuse = no\nautofill = yes\ntimeout = {scenario.ring_for_s:.0f}\n"
        "retry = 1\n"
        "wrapuptime = 0\nmusicclass = default\njoinempty = yes\nleavewhenempty = no\nannounce-frequency = 0",
    ]
    if scenario.announce:
        queue.append(f"periodic-announce = {INSIDE}/sounds/announcement\nperiodic-announce-frequency = 10")
    queue += [f"member => PJSIP/{user}" for user in users]
    record = "" if scenario.record == "none" else f" same => n,MixMonitor({INSIDE}/recordings/${{UNIQUEID}}.wav)\n"
    dialplan = (
        "[bench]\n"
        f"exten => {ENTRANCES['queue']},1,Answer(,i)\n{record} same => n(queue),Queue(floor)\n same => n,Hangup()\n"
        f"exten => {ENTRANCES['menu']},1,Answer(,i)\n{record} same => n,Read(key,{INSIDE}/sounds/menu,1)\n"
        f' same => n,GotoIf($["${{key}}" = "1"]?{ENTRANCES["queue"]},queue)\n'
        f" same => n,Playback({INSIDE}/sounds/menu-done)\n same => n,Hangup()\n"
        f"exten => {ENTRANCES['transfer']},1,Answer(,i)\n{record} same => n,Dial(PJSIP/office,30)\n"
        " same => n,Hangup()\n"
        f"exten => {ENTRANCES['outside']},1,Answer(,i)\n{record} same => n,Dial(PJSIP/first,2)\n"
        " same => n,Dial(PJSIP/second,30)\n same => n,Hangup()\n"
    )
    folders = ("astvarlibdir", "astdbdir", "astkeydir", "astspooldir", "astrundir", "astlogdir", "astcachedir")
    return {
        "asterisk.conf": f"[directories](!)\n[directories]\nastetcdir => {INSIDE}/etc\n"
        + "".join(f"{name} => {INSIDE}/{name}\n" for name in folders)
        + "astdatadir => /usr/share/asterisk\n[options]\nverbose = 0\ndebug = 0\nhideconnect = yes\n"
        f"defaultlanguage = {LANGUAGE}\n",
        "modules.conf": "[modules]\nautoload = no\n" + "".join(f"require = {name}.so\n" for name in MODULES),
        "logger.conf": "[general]\nqueue_log = no\n[logfiles]\nmessages => warning,error\n",
        "cdr.conf": "[general]\nenable = no\n",
        "cel.conf": "[general]\nenable = no\n",
        "rtp.conf": f"[general]\nrtpstart = {layout.switch_rtp[0]}\nrtpend = {layout.switch_rtp[1]}\nicesupport = no\n",
        "musiconhold.conf": f"[default]\nmode = files\ndirectory = {INSIDE}/music\n",
        "pjsip.conf": "\n".join(pjsip),
        "queues.conf": "\n".join(queue) + "\n",
        "extensions.conf": dialplan,
    }


def _sounds(folder: Path, codec: str) -> None:
    """Our prompts and our music, in the codec of the legs, so that neither switch has to encode a file."""
    ending, subtype = {"PCMA": ("alaw", "ALAW"), "PCMU": ("ulaw", "ULAW")}[codec]
    (folder / "sounds").mkdir(parents=True)
    (folder / "music").mkdir()
    for name, prompt in PROMPTS.items():
        kind = "music" if name == "music" else LANGUAGE
        samples, rate = soundfile.read(CHECKOUT / "prompts" / kind / f"{prompt}.wav")
        to = folder / ("music" if name == "music" else "sounds") / f"{name.replace(' ', '-')}.{ending}"
        soundfile.write(to, soxr.resample(samples, rate, 8000), 8000, subtype=subtype, format="RAW")


class Asterisk:
    """Counterpart: Switch in layout.py."""

    name = "asterisk"

    def __init__(self, layout: Layout, scenario: Scenario, keep: bool = False) -> None:
        self.layout, self.scenario, self.keep = layout, scenario, keep
        self.start_s = 0.0
        self.folder = ROOT / INSIDE.strip("/")

    async def __aenter__(self) -> "Asterisk":
        shutil.rmtree(self.folder, ignore_errors=True)
        for name, text in configuration(self.layout, self.scenario).items():
            (self.folder / "etc" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "etc" / name).write_text(text)
        for name in ("recordings", "astdbdir", "astrundir", "astlogdir", "astspooldir", "astvarlibdir", "astcachedir"):
            (self.folder / name).mkdir()
        _sounds(self.folder, self.scenario.codec)
        # Asterisk looks its own host's name up at each call, and would wait for a name server that does not answer
        (ROOT / "etc/hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n")
        begun = time.monotonic()
        with (self.folder / "out.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*DIES_WITH_US, "chroot", ROOT, "/usr/sbin/asterisk", "-f", "-C", f"{INSIDE}/etc/asterisk.conf"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while "fully booted" not in (said := self._ask("core waitfullybooted")):
            if self._process.poll() is not None or time.monotonic() - begun > START_WITHIN_S:
                self._kill()
                raise SwitchError(f"Asterisk did not start: {said}\n{self._last_words()}")
            await asyncio.sleep(0.02)
        self.start_s = time.monotonic() - begun
        self._schedule_as_we_are()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._end()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _schedule_as_we_are(self) -> None:
        """Asterisk leaves a real-time class that it was started in, and would then run behind the generator."""
        policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(task.name), policy, parameters)  # threads to come inherit it

    def _ask(self, command: str) -> str:
        client = ["chroot", str(ROOT), "/usr/sbin/asterisk", "-C", f"{INSIDE}/etc/asterisk.conf", "-rx", command]
        done = subprocess.run(client, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return done.stdout + done.stderr

    def version(self) -> str:
        return (
            self._ask("core show version").partition(" built ")[0].removeprefix("Asterisk ").partition("+")[0].strip()
        )

    def usage(self) -> Usage:
        if self._process.poll() is not None:
            raise SwitchError(f"Asterisk died (exit code {self._process.returncode})\n{self._last_words()}")
        return Usage.of(self._process.pid, time.time())

    def held(self) -> dict[str, int]:
        rows = self._ask("core show channels count").split("\n")
        counts = {
            words[2] if words[1] == "active" else words[1]: words[0] for row in rows if len(words := row.split()) > 2
        }
        return {"n_channels": n} if (n := int(counts.get("channels", counts.get("channel", "0")))) else {}

    async def stop(self) -> dict[str, Any]:
        await self._end()
        return {"recordings": self._recordings()} if self.scenario.record != "none" else {}

    def _recordings(self) -> dict[str, Any]:
        files = list((self.folder / "recordings").glob("*.wav"))
        readable = [soundfile.info(file).duration for file in files if file.stat().st_size > 44]
        size = sum(file.stat().st_size for file in files)
        return {
            "files": len(files),
            "unreadable": len(files) - len(readable),
            "seconds": round(sum(readable), 1),
            "mb": round(size / 1e6, 1),
        }

    async def _end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        until = time.monotonic() + STOP_WITHIN_S
        while self._process.poll() is None and time.monotonic() < until:
            await asyncio.sleep(0.05)
        self._kill()

    def _kill(self) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _last_words(self) -> str:
        told = [self.folder / "out.log", self.folder / "astlogdir" / "messages"]
        lines = [line for file in told if file.is_file() for line in file.read_text(errors="replace").splitlines()]
        return "\n".join(lines[-15:])
