"""The daemon with the shipped TV-shopping plan: its own files, with shorter times, other ports, and a noise in place of
each prompt. What is proved is the plan that ships.
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from cli.demo.hurry import setting, sooner
from engine.control import ask
from tests.live import ear
from tests.live.floor import AGNER, HOST, Daemon
from tests.live.tv.heard import Voice, write_noise

ROOT = Path(__file__).parents[3]
SLIMMING, JEWELLERY, KITCHENWARE, GENERAL, MAILBOX = (f"400800200{n}" for n in (1, 2, 3, 0, 9))
PROMPT_S, PART_S = 0.3, 0.15
LONG_S = {"please_wait": 0.9, "exit_offer": 0.6}  # so that there is something to cut off
AGENT_PORTS = {f"100{n}": 15139 + 2 * n for n in range(1, 7)}  # baresip takes the next port too, for TLS
ELSEWHERE = "127.0.0.2"  # calls from here come over a trunk without early media
CUSTOMER_PORT = 15190  # all customers are called back here
ZONE = ZoneInfo("Asia/Shanghai")
ALL_DAY = ["daily: all day"]


class Shipped(Daemon):
    def __init__(self, folder: Path, port: int, rtp_from: int) -> None:
        super().__init__(folder, port, rtp_from)
        shutil.rmtree(folder / "config")
        shutil.rmtree(folder / "prompts")
        self._write_prompts()
        self._write_switch(port, rtp_from)
        self._write_staff()
        self.write_plan(ALL_DAY)
        self.voice = Voice.read(folder / "prompts" / "zh")

    def _write_prompts(self) -> None:
        folder = self.folder / "prompts"
        folder.mkdir()
        shutil.copy(ROOT / "prompts" / "manifest.yaml", folder)
        for file in (ROOT / "prompts").rglob("*.wav"):
            path = file.relative_to(ROOT / "prompts")
            if path.parts[0] == "music":
                ear.write_tone(folder / path, ear.MUSIC, 2.0)
            elif path.parts[0] == "tones":
                ear.write_tone(folder / path, ear.ENGAGED, 0.2)
            else:
                seconds = PART_S if "say" in path.parts else LONG_S.get(path.stem, PROMPT_S)
                write_noise(folder / path, str(path), seconds)

    def _write_switch(self, port: int, rtp_from: int) -> None:
        settings = yaml.safe_load((ROOT / "config" / "switch.yaml").read_text())
        settings["limits"]["max calls"] = 200
        settings["sip"] |= {
            "udp port": port,
            "tcp port": port,
            "rtp ports": f"{rtp_from}-{rtp_from + 999}",
            "ringing within": "500ms",
        }
        carrier = settings["trunks"]["demo-carrier"]
        out = [f"sip:{HOST}:{CUSTOMER_PORT}"]
        settings["trunks"] = {
            "demo-carrier": carrier | {"early media": "yes", "from": [f"{HOST}/32"], "destinations": out},
            "plain": {"from": [f"{ELSEWHERE}/32"]},
        }
        (self.folder / "config" / "plans").mkdir(parents=True)
        (self.folder / "config" / "switch.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))

    def _write_staff(self) -> None:
        text = (ROOT / "config" / "staff.yaml").read_text()
        text = sooner(sooner(text, "first", 8), "abandoned", 5)
        text = swapped(text, "09:00-12:00, 13:00-21:00", "00:00-24:00")
        for name, value in {
            "ring for": "5s",
            "wrap up": "0s",
            "retries": "{ busy: [5s, 5s, 5s], no answer: [5s, 5s, 5s], failed: [5s] }",
            "at start": "logged out",
        }.items():
            text = setting(text, name, value)
        for agent, said in yaml.safe_load(text)["agents"].items():
            text = text.replace(said["phone"], f"sip:{agent}@{HOST}:{AGENT_PORTS[str(agent)]}")
        (self.folder / "config" / "staff.yaml").write_text(text)

    def write_plan(self, hours: Sequence[str], spot: str | None = None) -> None:
        """`hours` take the place of the floor's, `spot` that of the late one on the slimming number."""
        text = (ROOT / "config" / "plans" / "tv-shopping.yaml").read_text()
        text = sooner(text, "max wait", 25)
        begin, end = text.index("  floor:\n") + len("  floor:\n"), text.index("\nplans:\n")
        text = text[:begin] + "".join(f"    {line}\n" for line in hours) + text[end:]
        if spot:
            text = swapped(text, "{ on: daily, at: 22:30, for: 45m }", spot)
        (self.folder / "config" / "plans" / "tv-shopping.yaml").write_text(text)

    def agner(self, *command: str) -> Any:
        """What the command line answers, as JSON."""
        done = subprocess.run(
            [str(AGNER), "--config", "config", *command, "--json"], cwd=self.folder, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def reload(self, hours: Sequence[str] = ALL_DAY, spot: str | None = None) -> None:
        self.write_plan(hours, spot)
        ask(self.socket, "reload")


def today() -> tuple[datetime, str, str]:
    """Now in the plan's zone, today's day of the week, and today and tomorrow as a stretch of dates: a test may run
    over midnight."""
    now = datetime.now(ZONE)
    return now, f"{now:%a}".lower(), f"{now:%Y-%m-%d}..{now + timedelta(days=1):%Y-%m-%d}"


def swapped(text: str, old: str, new: str) -> str:
    assert old in text, f"{old} is not there any more"
    return text.replace(old, new)
