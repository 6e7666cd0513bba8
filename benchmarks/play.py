"""Plays a scenario: callers come in, the window is measured, the last call ends. Counterpart: scenario.py."""

import asyncio
from collections.abc import Callable

from benchmarks.floor import Floor
from benchmarks.generator.phones import Leg
from benchmarks.layout import SwitchError
from benchmarks.seen import Seen

ENDING_AT_ONCE = 10  # 500 a second: the end of a run is no test of it

Progress = Callable[[float, str], None]  # how much of the run is done, 0 to 1; what goes on


async def play(floor: Floor, progress: Progress) -> Seen:
    """Ctrl-C (`floor.stopping`) ends it early, with what is known."""
    seen = Seen(idle=floor.switch.usage() if floor.switch else None)
    scenario = floor.scenario
    seconds = scenario.filling_s + scenario.duration_s
    loop = asyncio.get_running_loop()
    begun = loop.time()

    def show(text: str) -> None:
        progress(min((loop.time() - begun) / seconds, 1.0), text)

    watching = asyncio.create_task(_watch(floor, seen, show))
    calling = asyncio.create_task((_refill if scenario.arrivals == "refill" else _even)(floor, begun + seconds))
    try:
        await floor.pause(scenario.filling_s)
        seen.samples.append(floor.sample())
        first = len(seen.samples) - 1
        if scenario.trunk_fails:
            await floor.pause(scenario.duration_s / 2)
            floor.carriers[0].silent = True
        await floor.pause(begun + seconds - loop.time())
        seen.samples.append(floor.sample())
        if loop.time() - begun > scenario.filling_s:
            seen.window = first, len(seen.samples) - 1
        await calling
        await floor.until_quiet()
    finally:
        calling.cancel()
        watching.cancel()
        await asyncio.gather(calling, watching, return_exceptions=True)
    return _end(floor, seen)


async def _even(floor: Floor, until: float) -> None:
    """Paced by the clock, not by pauses: a late call does not delay the next."""
    loop = asyncio.get_running_loop()
    begun, n_calls = loop.time(), 0
    while loop.time() < until and not floor.stopping.is_set():
        floor.dial()
        n_calls += 1
        await floor.pause(begun + n_calls / floor.scenario.rate - loop.time())


async def _refill(floor: Floor, until: float) -> None:
    """In at the given rate; from then on, who goes is replaced."""
    loop = asyncio.get_running_loop()
    begun = loop.time()

    def redial(leg: Leg) -> None:
        if loop.time() < until and not floor.stopping.is_set():
            loop.call_later(0.001, floor.dial)

    floor.callers.on_end = redial
    for n in range(1, floor.scenario.n_calls + 1):
        if floor.stopping.is_set():
            break
        floor.dial()
        await floor.pause(begun + n / floor.scenario.rate - loop.time())
    await floor.pause(until - loop.time())
    floor.callers.on_end = lambda leg: None
    for number, leg in enumerate(list(floor.callers.legs.values())):
        floor.callers.give_up(leg)  # nobody's failure: the run is over
        if number % ENDING_AT_ONCE == 0:
            await asyncio.sleep(0.02)


async def _watch(floor: Floor, seen: Seen, show: Callable[[str], None]) -> None:
    while True:
        floor.collect()
        try:
            seen.samples.append(floor.sample())
        except SwitchError:
            floor.stopping.set()  # it died; play() meets the same, and raises it
            return
        n_failed = sum(bool(record.failure) for record in floor.callers.records)
        n_waiting = max(0, floor.n_in - floor.n_talking)
        show(f"{floor.n_dialled} calls, {floor.n_talking} talking, {n_waiting} waiting, {n_failed} failed")
        await asyncio.sleep(1.0)


def _end(floor: Floor, seen: Seen) -> Seen:
    seen.callers, seen.agents = floor.callers.records, floor.called
    seen.n_rejected = floor.agents.n_rejected
    seen.n_retransmitted = sum(phones.transport.n_retransmitted for phones in floor.phones)
    if floor.switch:
        seen.after = floor.switch.usage()
        seen.left_behind = floor.switch.held()
    return seen
