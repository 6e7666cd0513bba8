"""Agner under load: a configuration in a folder of its own, the real daemon on it, and the way to stop it.

Counterparts: layout.py says what a switch is, afterwards.py looks at what the daemon left on disk.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.afterwards import check_assignments, check_recordings, check_records
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
from engine.control import ControlError, ask

START_WITHIN_S = 30.0
STOP_WITHIN_S = 60.0


def configuration(layout: Layout, scenario: Scenario, folder: str, here: str) -> Mapping[str, str]:
    """File -> text. Everything the daemon writes goes to `folder`; `here` is the checkout it runs in."""
    calls = "none" if scenario.record == "none" else "answered"
    file_format = "wav" if scenario.record == "none" else scenario.record
    sources = sorted({layout.callers[0], *(ip for ip, _ in layout.carriers)})
    first, second = (f"sip:{ip}:{port}" for ip, port in layout.carriers)
    switch = (
        f"sip: {{address: {layout.switch[0]}, udp port: {layout.switch[1]}, tcp port: off,"
        f" rtp ports: {layout.switch_rtp[0]}-{layout.switch_rtp[1]}, codecs: [{scenario.codec}]}}\n"
        f"trunks:\n  bench:\n    from: [{', '.join(sources)}]\n    silent within: 1s\n"
        f'    destinations: [{{to: "{first}", priority: 1}}, {{to: "{second}", priority: 2}}]\n'
        f"limits: {{max calls: {scenario.max_calls}, drain: 5s}}\n"
        f"recording: {{calls: {calls}, folder: {folder}/recordings, format: {file_format}}}\n"
        f"storage: sqlite:///{folder}/agner.db\nfolder: {folder}/var\nprompts: {here}/prompts\n"
    )
    after = ", ".join(f"on {what}: pause 1s" for what in ("no answer", "rejected", "busy"))
    staff = [
        "queues:",
        f"  floor: {{wrap up: 0s, ring for: {scenario.ring_for_s:g}s, music: {PROMPTS['music']}, {after}}}",
        "agents:",
    ]
    users = agent_users(scenario)
    for user in users or ["200000"]:  # a queue has somebody, present or not
        phone = f"sip:{user}@{layout.agents[0]}:{layout.agents[1]}"
        at_start = "ready" if users else "not ready"
        staff.append(f'  "{user}": {{phone: "{phone}", queues: floor, at start: {at_start}}}')
    announce = f", announce: [{{play: {PROMPTS['announcement']}, first: 2s, every: 10s}}]" if scenario.announce else ""
    back_office = f"sip:{BACK_OFFICE}@{layout.carriers[1][0]}:{layout.carriers[1][1]}"
    plans = [
        f"language: {LANGUAGE}",
        "numbers: {" + ", ".join(f'"{number}": {name}' for name, number in ENTRANCES.items()) + "}",
        "plans:",
        f"  queue: [answer, {{queue: floor{announce}}}]",
        "  menu:",
        "    - answer",
        f"    - {{menu: {PROMPTS['menu']}, keys: {{1: go on, 2: [play: {PROMPTS['menu done']}, hang up]}},"
        " on no input: [hang up], on invalid: [hang up]}",
        f"    - {{queue: floor{announce}}}",
        f'  transfer: [answer, {{transfer: "{back_office}"}}, hang up]',
        f"  outside: [answer, {{transfer: trunk:bench/{OUTSIDE}}}, hang up]",
    ]
    return {
        "switch.yaml": switch,
        "staff.yaml": "\n".join(staff) + "\n",
        "plans/bench.yaml": "\n".join(plans) + "\n",
    }


def write_configuration(into: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (into / name).write_text(text)


class Daemon:
    """The Agner of this checkout. Counterpart: Switch in layout.py."""

    name = "agner"

    def __init__(self, layout: Layout, scenario: Scenario, keep: bool = False) -> None:
        self.layout, self.scenario, self.keep = layout, scenario, keep
        self.start_s = 0.0
        self.exit_code: int | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="agner-bench-"))

    async def __aenter__(self) -> "Daemon":
        write_configuration(self.folder, configuration(self.layout, self.scenario, str(self.folder), str(CHECKOUT)))
        self.control = self.folder / "var" / "agner.sock"
        self.log = self.folder / "daemon.log"
        program = Path(sys.executable).with_name("agner")
        begun = time.monotonic()
        with self.log.open("wb") as log:
            # It may keep its compiled Python, as one in service does, so that the start is that of a service.
            self._process = subprocess.Popen(
                [*DIES_WITH_US, program, "--config", self.folder, "run"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=CHECKOUT,
                env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
                start_new_session=True,  # Ctrl-C stops the load first
            )
        while True:
            try:
                ask(self.control, "status")
                break
            except ControlError as error:
                if self._process.poll() is not None or time.monotonic() - begun > START_WITHIN_S:
                    self._kill()
                    why = f"the daemon did not start: {error}\n{self._last_words()}"
                    self._clean()
                    raise SwitchError(why) from None
                await asyncio.sleep(0.02)
        self.start_s = time.monotonic() - begun
        return self

    async def __aexit__(self, *exception: object) -> None:
        try:
            if exception[0] is SwitchError:
                self._kill()  # what went wrong is told already
            else:
                await self._end()
        finally:
            self._clean()

    @property
    def pid(self) -> int:
        return self._process.pid

    def version(self) -> str:
        return str(self._status()["version"])

    def _status(self) -> dict[str, Any]:
        try:
            return ask(self.control, "status")
        except ControlError as error:
            raise SwitchError(f"the daemon does not answer: {error}\n{self._last_words()}") from None

    def usage(self) -> Usage:
        if not self.is_alive():
            raise SwitchError(f"the daemon died (exit code {self._process.returncode})\n{self._last_words()}")
        return Usage.of(self.pid, time.time())

    def held(self) -> dict[str, int]:
        status = self._status()
        return {name: n for name in ("n_calls", "n_legs") if (n := status.get(name))}

    def is_alive(self) -> bool:
        return self._process.poll() is None

    async def stop(self) -> dict[str, Any]:
        """SIGTERM, after which the daemon writes what it has to; then what it left on disk is looked at."""
        await self._end()
        found: dict[str, Any] = {
            "records": check_records(self.folder),
            "wrong_assignments": await asyncio.to_thread(check_assignments, self.folder),
        }
        if self.scenario.record != "none":
            found["recordings"] = await asyncio.to_thread(check_recordings, self.folder)
        return found

    async def _end(self) -> None:
        if self.exit_code is not None:
            return
        if self.is_alive():
            self._process.send_signal(signal.SIGTERM)
        until = time.monotonic() + STOP_WITHIN_S
        while self.is_alive() and time.monotonic() < until:
            await asyncio.sleep(0.05)
        if self.is_alive():
            self._kill()
            raise SwitchError(f"the daemon did not stop within {STOP_WITHIN_S:g} s of SIGTERM\n{self._last_words()}")
        self.exit_code = self._process.returncode
        if self.exit_code:
            raise SwitchError(f"the daemon exited with {self.exit_code}\n{self._last_words()}")

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
