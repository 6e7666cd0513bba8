"""A switch that somebody else runs: on another machine, or another program. Only what the phones see can be measured.

Counterpart: Switch in layout.py. What it must be told, tell() says; for an Agner, daemon.configuration() writes it.
"""

from typing import Any

from benchmarks.layout import BACK_OFFICE, OUTSIDE, Layout, agent_users
from benchmarks.machine import Usage
from benchmarks.scenario import ENTRANCES, Scenario


class Elsewhere:
    name = "elsewhere"
    start_s = 0.0

    async def __aenter__(self) -> "Elsewhere":
        return self

    async def __aexit__(self, *exception: object) -> None: ...

    def usage(self) -> Usage | None:
        return None

    def held(self) -> dict[str, int]:
        return {}

    async def stop(self) -> dict[str, Any]:
        return {}

    def version(self) -> str:
        return ""


def tell(layout: Layout, scenario: Scenario) -> str:
    """What the switch expects of its configuration, in words."""
    numbers, users = ENTRANCES, agent_users(scenario)
    (first, second), (ip, port) = layout.carriers, layout.agents
    lines = [
        f"{scenario.name} expects of the switch at {layout.switch[0]}:{layout.switch[1]}:",
        f"  trunk    calls from {layout.callers[0]}, {scenario.max_calls} at once, {scenario.codec}",
        f"  {numbers['queue']}     a queue"
        + (f" of the agents below, wrap-up 0 s, ringing {scenario.ring_for_s:g} s" if users else ", nobody there"),
    ]
    dialled = {kind.dials for kind in scenario.kinds}
    if "menu" in dialled:
        lines.append(f"  {numbers['menu']}     a prompt; key 1 leads to the queue, key 2 to a prompt and the end")
    if "transfer" in dialled:
        lines.append(f"  {numbers['transfer']}     on to sip:{BACK_OFFICE}@{second[0]}:{second[1]}")
    if "outside" in dialled:
        ways = f"sip:{first[0]}:{first[1]}, or if that is silent for 1 s sip:{second[0]}:{second[1]}"
        lines.append(f"  {numbers['outside']}     out to {OUTSIDE} over {ways}")
    if users:
        lines.append(f"  agents   sip:{users[0]}@{ip}:{port} to sip:{users[-1]}@{ip}:{port}, ready, one call at a time")
    return "\n".join(lines)
