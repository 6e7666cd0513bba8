"""Whether there is room for one more call: in the switch, on a trunk, for an agent who dials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.callflow import plan
from engine.callflow.errors import BusyError

if TYPE_CHECKING:
    from engine.switch.conductor import Switch


def check_room(switch: Switch, caller: plan.Caller) -> None:
    """For one more call of this trunk, in or out, or of this agent's phone. Raises BusyError."""
    limits, trunk = switch.setup.settings.limits, switch.setup.trunk(caller.trunk)
    if switch.is_draining:
        raise BusyError("the switch is stopping", retry_after_s=limits.retry_after_s)
    if len(switch.calls) >= limits.max_calls:
        raise BusyError(f"all {limits.max_calls} calls are taken", retry_after_s=limits.retry_after_s)
    if caller.agent:
        switch.dialling.check_room(switch, caller.agent)
    if trunk is None or (trunk.max_calls is None and trunk.max_calls_in is None):
        return
    n_in = sum(live.caller.trunk == trunk.name and not live.is_callback for live in switch.calls.values())
    n_both = n_in + switch.sip.n_calls_out(trunk.name)
    for most, n_calls in ((trunk.max_calls, n_both), (trunk.max_calls_in, n_in)):
        if most is not None and n_calls >= most:
            raise BusyError(f"all {most} calls of trunk {trunk.name} are taken", retry_after_s=limits.retry_after_s)
