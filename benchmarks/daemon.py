"""The switch under load: a configuration in a folder of its own, the real daemon on it, and the way to stop it.

Counterpart: scenario.py, which calls it. Two queues, so that neither scenario meets the other's agents: `steady` has an
agent for every call, `surplus` has more callers than agents.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import Usage
from engine.control import ControlError, ask

CHECKOUT = Path(__file__).resolve().parent.parent
START_WITHIN_S = 30.0
STOP_WITHIN_S = 60.0
STEADY, SURPLUS = "5000", "5001"  # the numbers that lead to the two queues


class DaemonError(Exception):
    """The daemon did not start, died or would not stop. The text is for the user."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Who listens where, and how many agents there are."""

    codec: str
    record: str  # wav, flac, none
    n_steady: int
    n_surplus: int
    max_calls: int
    switch: tuple[str, int] = ("127.0.0.1", 19060)
    callers: tuple[str, int] = ("127.0.0.10", 19100)
    agents: tuple[str, int] = ("127.0.0.20", 19200)
    caller_rtp: int = 40000
    agent_rtp: int = 50000

    def phones(self) -> dict[str, str]:
        """Agent's user -> queue."""
        users = {str(200000 + n): "steady" for n in range(self.n_steady)}
        return users | {str(300000 + n): "surplus" for n in range(self.n_surplus)}


def write_configuration(folder: Path, layout: Layout) -> None:
    """switch.yaml, staff.yaml and a plan in `folder`; everything the daemon writes goes there, too."""
    calls = "none" if layout.record == "none" else "answered"
    file_format = "wav" if layout.record == "none" else layout.record
    (folder / "plans").mkdir(parents=True)
    (folder / "switch.yaml").write_text(
        f"sip: {{address: {layout.switch[0]}, udp port: {layout.switch[1]}, tcp port: off,"
        f" rtp ports: 20000-39999, codecs: [{layout.codec}]}}\n"
        f"trunks: {{bench: {{from: {layout.callers[0]}}}}}\n"
        f"limits: {{max calls: {layout.max_calls}, drain: 5s}}\n"
        f"recording: {{calls: {calls}, folder: {folder}/recordings, format: {file_format}}}\n"
        f"storage: sqlite:///{folder}/agner.db\nfolder: {folder}/var\nprompts: {CHECKOUT}/prompts\n"
    )
    queues = {"steady": layout.n_steady, "surplus": layout.n_surplus}
    staff = ["queues:"]
    staff += [f"  {queue}: {{wrap up: 0s, ring for: 20s}}" for queue, n_agents in queues.items() if n_agents]
    staff.append("agents:")
    for user, queue in layout.phones().items():
        phone = f"sip:{user}@{layout.agents[0]}:{layout.agents[1]}"
        staff.append(f'  "{user}": {{phone: "{phone}", queues: {queue}, at start: ready}}')
    (folder / "staff.yaml").write_text("\n".join(staff) + "\n")
    plan = ["numbers:"]
    numbers = {"steady": STEADY, "surplus": SURPLUS}
    plan += [f'  "{numbers[queue]}": {queue}' for queue, n_agents in queues.items() if n_agents]
    plan.append("plans:")
    plan += [f"  {queue}: [answer, queue: {queue}]" for queue, n_agents in queues.items() if n_agents]
    (folder / "plans" / "bench.yaml").write_text("\n".join(plan) + "\n")


class Daemon:
    """`async with Daemon(layout) as daemon:` the switch takes calls inside."""

    def __init__(self, layout: Layout, keep: bool = False) -> None:
        self.layout = layout
        self.start_s = 0.0
        self.exit_code: int | None = None
        self.keep = keep
        self.folder = Path(tempfile.mkdtemp(prefix="agner-bench-"))

    async def __aenter__(self) -> "Daemon":
        write_configuration(self.folder, self.layout)
        self.control = self.folder / "var" / "agner.sock"
        self.log = self.folder / "daemon.log"
        program = Path(sys.executable).with_name("agner")
        begun = time.monotonic()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, "--config", self.folder, "run"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=CHECKOUT,
                start_new_session=True,  # Ctrl-C stops the load first
            )
        while True:
            try:
                self.ask("status")
                break
            except ControlError as error:
                if self._process.poll() is not None or time.monotonic() - begun > START_WITHIN_S:
                    self._kill()
                    why = f"the daemon did not start: {error}\n{self._last_words()}"
                    self._clean()
                    raise DaemonError(why) from None
                await asyncio.sleep(0.02)
        self.start_s = time.monotonic() - begun
        return self

    async def __aexit__(self, *exception: object) -> None:
        try:
            await self.stop()
        finally:
            self._clean()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, verb: str) -> dict:
        return ask(self.control, verb)

    def usage(self) -> Usage:
        try:
            return Usage.of(self.pid, time.time())
        except (FileNotFoundError, ProcessLookupError):
            raise DaemonError(f"the daemon died (exit code {self._process.poll()})\n{self._last_words()}") from None

    def is_alive(self) -> bool:
        return self._process.poll() is None

    async def stop(self) -> None:
        """SIGTERM; the daemon writes what it has to and exits."""
        if self.exit_code is not None:
            return
        if self.is_alive():
            self._process.send_signal(signal.SIGTERM)
        until = time.monotonic() + STOP_WITHIN_S
        while self.is_alive() and time.monotonic() < until:
            await asyncio.sleep(0.05)
        if self.is_alive():
            self._kill()
            raise DaemonError(f"the daemon did not stop within {STOP_WITHIN_S:g} s of SIGTERM\n{self._last_words()}")
        self.exit_code = self._process.returncode
        if self.exit_code:
            raise DaemonError(f"the daemon exited with {self.exit_code}\n{self._last_words()}")

    def _kill(self) -> None:
        if self.is_alive():
            os.killpg(self._process.pid, signal.SIGKILL)
        self.exit_code = self._process.wait()

    def _clean(self) -> None:
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _last_words(self) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        except OSError:
            return ""
