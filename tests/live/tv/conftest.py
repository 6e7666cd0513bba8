"""`tv`: the daemon with the shipped plan, and phones. After each test `agner explain` is asked about its every call."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.demo.phones import Baresip
from engine.config import load
from engine.records.search import Wanted
from tests.live.ear import Sound
from tests.live.floor import until
from tests.live.phones import Floor
from tests.live.tv.agreement import explained, met
from tests.live.tv.shipped import AGENT_PORTS, Shipped

PORT, RTP_FROM = 15058, 34000
WAV_HEADER = 44  # bytes
CUSTOMERS = """number,name,level,last_order_agent
13900000001,王芳,vip,
13900000002,张伟,vip,
13700000002,李静,,1002
13700000003,刘强,,1002
"""


class Tv(Floor):
    """Phones, and what was heard in them."""

    daemon: Shipped
    agent_ports = AGENT_PORTS
    checked: set[str]  # calls

    def sound(self, phone: Baresip, n: int = 0) -> Sound:
        """Of the n-th call of this phone, which is over."""
        phone.wait_for("CALL_CLOSED", n + 1)
        return Sound.read(until(f"the sound at {phone.user}", lambda: phone.heard()[n:])[0])

    def hears(self, phone: Baresip, prompt: str, n: int = 0) -> None:
        """Until this prompt has been heard to its end in the n-th call of this phone, which is up."""

        def is_heard() -> bool:
            files = phone.heard()[n:]
            data = files[0].read_bytes()[WAV_HEADER:] if files else b""
            samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2") / 32768
            return len(samples) > 0 and self.daemon.voice.has_said(samples, prompt)

        until(f"{phone.user} hears {prompt}", is_heard, within_s=15)

    def said(self, phone: Baresip, n: int = 0) -> list[str]:
        return self.daemon.voice.said(self.sound(phone, n))

    def row(self, ani: str, **wanted: Any) -> dict[str, Any]:
        """The call of this caller, once it is so."""

        def found() -> list[dict[str, Any]]:
            rows = self.daemon.ask("calls")
            return [row for row in rows if row["ani"] == ani and all(row[name] == wanted[name] for name in wanted)]

        return until(f"{ani} {wanted}: {self.daemon.ask('calls')}", found)[0]

    def cdrs(self, ani: str) -> list[dict[str, Any]]:
        return self.daemon.archive().calls(Wanted(ani=ani)).rows

    def surveys(self, call: str) -> list[dict[str, Any]]:
        def written() -> list[dict[str, Any]]:
            with contextlib.closing(sqlite3.connect(self.daemon.folder / "var" / "agner.db")) as database:
                database.row_factory = sqlite3.Row
                return [dict(row) for row in database.execute("select * from surveys where call = ?", (call,))]

        return until(f"a survey of {call}", written)

    def tones(self, phone: Baresip, n: int = 0) -> set[int]:
        return self.daemon.voice.besides(self.sound(phone, n)).tones()

    def stays(self, ani: str, seconds: float, **wanted: Any) -> None:
        """Until its call has been so for a while."""
        until(f"{ani} {seconds:g} s {wanted}", lambda: self.row(ani, **wanted)["state_s"] > seconds)

    def talks(self, ani: str, agent: str, seconds: float = 0.4) -> None:
        self.stays(ani, seconds, state="TALKING", agent=agent)


    def check(self) -> None:
        """`agner explain`, by the plan that holds, tells the story of each call that it was not asked about yet."""
        with contextlib.chdir(self.daemon.folder):  # so that places are called as the daemon calls them
            loaded = load(Path("config"))
        rows = [row for row in self.daemon.archive().calls(Wanted(limit=1000)).rows if row["call"] not in self.checked]
        for row in rows:
            self.checked.add(row["call"])
            if row["kind"] == "inbound":
                story = self.daemon.story(row["call"])
                assert explained(loaded, self.daemon.folder / "var" / "agner.db", story) == met(story)


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipped]:
    daemon = Shipped(tmp_path_factory.mktemp("shipped"), PORT, RTP_FROM)
    (daemon.folder / "customers.csv").write_text(CUSTOMERS)
    daemon.agner("customers", "import", "customers.csv")
    try:
        daemon.start()
        yield daemon
        daemon.check_log()
    finally:
        daemon.close()


@pytest.fixture
def tv(shipped: Shipped, tmp_path: Path) -> Iterator[Tv]:
    tv = Tv(shipped, tmp_path)
    tv.checked = {row["call"] for row in shipped.archive().calls(Wanted(limit=1000)).rows}
    try:
        yield tv
    finally:
        tv.close()
        for row in shipped.ask("agents"):
            shipped.ask("agent_logout", id=row["agent"])
        for row in shipped.ask("callbacks"):
            shipped.ask("callback_cancel", id=row["id"], by="the end of a test")
    shipped.until_clean()
    tv.check()
