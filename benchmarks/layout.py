"""Who listens where in a run, and what a switch under load is: the same for Agner, for another switch, and for none.

Counterparts: daemon.py and asterisk.py are switches, floor.py has the phones.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from benchmarks.generator.sip import Address
from benchmarks.machine import Usage
from benchmarks.scenario import Scenario

CHECKOUT = Path(__file__).resolve().parent.parent
LANGUAGE = "en"
PROMPTS = {"menu": "welcome", "menu done": "goodbye", "announcement": "please_wait", "music": "hold"}
OUTSIDE = "6000"  # the number that the switch dials over the trunk
BACK_OFFICE = "7000"


# In front of a switch's command: it ends also where this process is killed, and no next run finds its ports taken.
DIES_WITH_US = ("setpriv", "--pdeathsig", "TERM")


class SwitchError(Exception):
    """The switch did not start, died or would not stop. The text is for the user."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Addresses and ports. The trunk's calls come from `callers`; `carriers` are where its calls out go, in turn."""

    switch: Address = ("127.0.0.1", 19060)
    callers: Address = ("127.0.0.10", 19100)
    agents: Address = ("127.0.0.20", 19200)
    carriers: tuple[Address, Address] = (("127.0.0.21", 19201), ("127.0.0.22", 19202))
    caller_rtp: int = 40000
    agent_rtp: int = 50000
    switch_rtp: tuple[int, int] = (20000, 39999)

    @classmethod
    def from_here(cls, here: str, switch: Address) -> "Layout":
        """For a switch elsewhere: all phones on one address of this machine."""
        return cls(switch, (here, 19100), (here, 19200), ((here, 19201), (here, 19202)))


def agent_users(scenario: Scenario) -> list[str]:
    return [str(200000 + n) for n in range(scenario.agents)]


class Switch(Protocol):
    """`async with` it: the switch takes calls inside."""

    name: str
    start_s: float  # from the process's start to the first call that could come

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exception: object) -> None: ...
    def usage(self) -> Usage | None:
        """What the process took of the machine so far; None if it is not on this machine."""

    def held(self) -> dict[str, int]:
        """What it still holds, by name, such as calls; {} when nothing, or when it cannot be asked."""

    async def stop(self) -> dict:
        """Stop it; what it left behind, as figures."""

    def version(self) -> str: ...
