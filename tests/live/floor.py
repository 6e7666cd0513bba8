"""The real daemon as a subprocess, with a configuration and a state folder of its own, and everything to be known of it
from outside: the control socket, the records, the trace, the log, its descriptors.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from engine.control import ControlError, ask
from engine.records.search import Archive, Wanted
from engine.records.store import StorageError
from tests.live import ear

AGNER = Path(sys.executable).parent / "agner"
CONFIG = Path(__file__).parent / "config"
HOST = "127.0.0.1"
RECORDINGS = "var/recordings"
SUDO = [] if os.geteuid() == 0 else ["sudo"]
PROMPTS = {"welcome": ear.WELCOME, "sorry": ear.SORRY, "engaged": ear.ENGAGED, "closed": ear.CLOSED}
PROMPT_S, MUSIC_S = 0.6, 2.0
START_S, STOP_S = 15.0, 20.0
BUSY = ("RESERVED", "TALKING")
CLOSE_WAIT = "08"  # in /proc/net/tcp

Row = dict[str, Any]


def until(what: str, is_so: Callable[[], Any], within_s: float = 10.0) -> Any:
    """Wait for something that nobody tells us about; what it was."""
    end = time.monotonic() + within_s
    while not (found := is_so()):
        assert time.monotonic() < end, f"{what}: not within {within_s:g} s"
        time.sleep(0.02)
    return found


def write_prompts(folder: Path) -> None:
    """Every prompt a tone of its own, in both languages."""
    entries = {name: {"file": f"{name}.wav", "zh": name, "en": name} for name in PROMPTS}
    for name, hz in PROMPTS.items():
        for language in ("zh", "en"):
            ear.write_tone(folder / language / f"{name}.wav", hz, PROMPT_S)
    ear.write_tone(folder / "hold.wav", ear.MUSIC, MUSIC_S)
    (folder / "manifest.yaml").write_text(yaml.safe_dump({"prompts": entries, "music": {"hold": "hold.wav"}}))


class Daemon:
    """`changes` go into switch.yaml, section by section. The folder is its working directory; its state is in var/.
    `disk_kb`: the size of a file system for the recordings alone, which is mounted until close(), by root or sudo."""

    def __init__(self, folder: Path, port: int, rtp_from: int, disk_kb: int = 0, **changes: Row) -> None:
        self.folder, self.port, self._disk_kb = folder, port, disk_kb
        self.socket = folder / "var" / "agner.sock"
        self.expected_errors: list[str] = []  # parts of log lines that a test brings about
        self._process: subprocess.Popen[bytes] | None = None
        self._n_descriptors = 0
        folder.mkdir(parents=True, exist_ok=True)
        if disk_kb:
            (folder / RECORDINGS).mkdir(parents=True)
            mount = ["mount", "-t", "tmpfs", "-o", f"size={disk_kb}k,mode=1777", "agner-test", str(folder / RECORDINGS)]
            subprocess.run(SUDO + mount, check=True)
        shutil.copytree(CONFIG, folder / "config", dirs_exist_ok=True)
        write_prompts(folder / "prompts")
        settings: dict[str, Any] = {
            "sip": {
                "udp port": port,
                "tcp port": port,
                "rtp ports": f"{rtp_from}-{rtp_from + 999}",
                "ringing within": "500ms",  # shorter than the queues' ring time, or silence would pass for no answer
            },
            "trunks": {"carrier": {"from": ["127.0.0.1/32"]}},
            "limits": {"max calls": 200},
        }
        for section, values in changes.items():
            settings.setdefault(section, {}).update(values)
        (folder / "config" / "switch.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))

    # ---- its life

    def start(self) -> None:
        self.launch()
        until(f"the daemon answers\n{self.log()}", self._is_up, START_S)

    def launch(self) -> subprocess.Popen[bytes]:
        """Without waiting whether it comes up."""
        with (self.folder / "log").open("ab") as log:
            command = [str(AGNER), "--config", "config", "run", "--quiet"]
            self._process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self._process

    def _is_up(self) -> bool:
        assert self._process and self._process.poll() is None, f"the daemon ended:\n{self.log()}"
        try:
            return bool(ask(self.socket, "status"))
        except ControlError:
            return False

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    def exit_code(self, within_s: float = STOP_S) -> int:
        assert self._process
        return self._process.wait(within_s)

    def close(self) -> None:
        if self._process and self.is_alive():
            self._process.kill()
            self._process.wait()
        if self._disk_kb:
            subprocess.run([*SUDO, "umount", str(self.folder / RECORDINGS)], check=True)

    # ---- asking it

    def ask(self, verb: str, **arguments: str) -> Any:
        return ask(self.socket, verb, **arguments)

    def uri(self, number: str, transport: str = "udp") -> str:
        return f"sip:{number}@{HOST}:{self.port}" + (";transport=tcp" if transport == "tcp" else "")

    def seat(self, *agents: str) -> None:
        """Log in and make ready, in this order: the first has been idle for longest."""
        for agent in agents:
            self.ask("agent_login", id=agent)
            self.ask("agent_ready", id=agent)

    def agent(self, agent: str) -> Row:
        return next(row for row in self.ask("agents") if row["agent"] == agent)

    def queue(self, queue: str) -> Row:
        return next(row for row in self.ask("queues") if row["queue"] == queue)

    def until_state(self, state: str, n: int = 1, within_s: float = 10.0) -> list[Row]:
        """Until n calls are in this state; those calls."""

        def there() -> list[Row]:
            found = [row for row in self.ask("calls") if row["state"] == state]
            return found if len(found) >= n else []

        return until(f"{n} calls {state}", there, within_s)

    # ---- what it left

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def archive(self) -> Archive:
        return Archive(f"sqlite:///{self.folder}/var/agner.db")

    def cdr(self, ani: str, within_s: float = 10.0) -> Row:
        """The one CDR of this caller, complete, with its segments and recordings."""

        def written() -> Row | None:
            try:
                rows = self.archive().calls(Wanted(ani=ani)).rows
            except StorageError:
                return None
            if not rows or rows[0]["disposition"] is None:
                return None
            assert len(rows) == 1, f"{len(rows)} CDRs of one call"
            found = self.archive().call(rows[0]["call"])
            is_crashed = rows[0]["disposition"] == "crashed"  # nobody closed its recording
            has_all = found and (found["recordings"] or is_crashed or not found["recording"])
            return found if has_all else None

        return until(f"a CDR of {ani}", written, within_s)

    def recording(self, cdr: Row) -> tuple[ear.Sound, ear.Sound]:
        """Left and right."""
        path = self.folder / "var" / "recordings" / cdr["recordings"][0]["path"]
        return ear.Sound.read(path, 0), ear.Sound.read(path, 1)

    def trace(self, call: str) -> list[Row]:
        """Its lines as far as they are written; they stay in memory for up to half a second."""
        lines = [line for file in (self.folder / "var/trace").glob("*.jsonl") for line in file.open()]
        return [row for line in lines if line.endswith("\n") and (row := json.loads(line)).get("call") == call]

    def story(self, call: str) -> list[Row]:
        """The lines of the trace of a call that is over."""

        def written() -> list[Row]:
            rows = self.trace(call)
            return rows if rows and rows[-1]["state"] == "ENDED" else []

        return until(f"the trace of {call}", written)

    # ---- nothing left behind

    def note_descriptors(self) -> None:
        """What it holds at rest. Call after a first call has gone through: some files open with it."""
        self._n_descriptors = len(self._descriptors())

    def _descriptors(self) -> list[str]:
        assert self._process
        folder = Path(f"/proc/{self._process.pid}/fd")
        found = []
        for name in os.listdir(folder):
            try:
                found.append(os.readlink(folder / name))
            except OSError:
                continue
        return found

    def _half_closed(self) -> set[str]:
        """TCP connections that the far side closed: PJSIP keeps one while a transaction may need it, up to 32 s."""
        assert self._process
        rows = [line.split() for line in Path(f"/proc/{self._process.pid}/net/tcp").read_text().splitlines()[1:]]
        return {f"socket:[{row[9]}]" for row in rows if row[3] == CLOSE_WAIT}

    def until_clean(self, within_s: float = 5.0, to_the_last: bool = False) -> None:
        """No call, leg, slot, agent, file or socket of any call is left, and the log has nothing to regret.
        `to_the_last`: nor half-closed TCP connections."""
        left: Row = {}

        def is_clean() -> bool:
            status = self.ask("status")
            left.update({name: status[name] for name in ("n_calls", "n_legs", "n_slots", "records_pending")})
            left["busy agents"] = [row["agent"] for row in self.ask("agents") if row["state"] in BUSY]
            spared = set() if to_the_last else self._half_closed()
            n_descriptors = sum(name not in spared for name in self._descriptors())
            left["descriptors"] = max(0, n_descriptors - self._n_descriptors) if self._n_descriptors else 0
            return not any(left.values())

        try:
            until("clean", is_clean, within_s)
        except AssertionError:
            raise AssertionError(f"left behind: {left}\n{self._descriptors()}\n{self.log()[-3000:]}") from None
        self.check_log()

    def check_log(self) -> None:
        for line in self.log().splitlines():
            is_bad = "Traceback" in line or " ERROR " in line or " CRITICAL " in line
            assert not is_bad or any(part in line for part in self.expected_errors), self.log()[-4000:]
