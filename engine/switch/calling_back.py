"""Promises to callers, as the conductor keeps them: who waits and is owed a call if we die, who is owed one because
nobody came, and the calls that keep these promises. Counterparts: engine/callbacks.py, which decides whom to call;
engine/records, which remembers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from engine.callbacks import Callbacks
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.callflow.errors import BusyError
from engine.callflow.numbers import canonical
from engine.callflow.record import CallbackEntry, Cdr, Message
from engine.doors import Promises, Records
from engine.switch import admitting
from engine.switch.live import Live, Setup

if TYPE_CHECKING:
    from engine.switch.conductor import Switch

_PLACE = plan.Place("callback", 1, 1)
MAX_SLEEP_S = 3600.0  # the wall clock may have been set meanwhile


class CallingBack:
    def __init__(self, setup: Setup, records: Records, promises: Promises) -> None:
        self.registry = Callbacks({}, UTC, records.write_callback)
        self._promises = promises
        self.wake_at = float("inf")  # when run() has to look
        self.configure(setup)

    def configure(self, setup: Setup) -> None:
        self.registry.rules = {name: queue.callbacks for name, queue in setup.staff.queues.items() if queue.callbacks}
        self.registry.zone = ZoneInfo(setup.book.timezone)
        self.wake()

    def load(self, switch: Switch, entries: Iterable[CallbackEntry]) -> None:
        self.registry.load(entries, switch.utc())
        self.wake()

    def wake(self) -> None:
        """Something changed: look in this round or the next."""
        self.wake_at = float("-inf")

    # ---- callers

    def arrives(self, switch: Switch, live: Live) -> None:
        """A caller is not called meanwhile."""
        if under_way := self.registry.arrives(live.caller.ani):
            switch.then(switch.calls[under_way], ev.HangUpOrdered("the customer calls"))

    def waits(self, switch: Switch, live: Live, step: steps.Queue) -> None:
        """Until somebody talks to this caller, or the call is over, a kill of ours is remembered."""
        if live.is_callback or live.caller.agent:
            return
        since = switch.to_utc(switch.now if live.place_at is None else live.place_at)
        needs = steps.needs_text(step.needs) if step.needs else None
        number = canonical(live.caller.ani)
        if number:
            self._promises.begin(live.machine.id, number, step.queue, since, live.caller.dnis, step.language, needs)

    def talks(self, switch: Switch, live: Live) -> None:
        """The caller, or the customer, has somebody on the line."""
        cdr = live.machine.cdr
        if live.is_callback:
            self.registry.connected(cdr.call, cdr.agent, switch.utc())
            self.wake()
            return
        if cdr.agent:
            self.registry.serves(live.caller.ani, cdr.call, cdr.agent, switch.utc())
        self._promises.end(cdr.call)

    def promise(self, switch: Switch, live: Live, number: str, queue: str, reason: str) -> bool:
        """False: that is no number one can call. Nobody owes a call to an agent who dialled."""
        if live.caller.agent:
            return False
        since = live.machine.cdr.arrived_at if live.place_at is None else live.place_at
        step = None if live.step is None else live.book.steps[live.step]
        entry = self.registry.promise(
            live.machine.id,
            number,
            queue,
            reason,
            switch.to_utc(since),
            switch.utc(),
            dnis=live.caller.dnis,
            language=getattr(step, "language", None),
        )
        self._promises.end(live.machine.id)
        self.wake()
        return entry is not None

    def reply(self, switch: Switch, message: Message, queue: str) -> None:
        """To who left a message."""
        id, utc = f"{message.id}-reply", switch.utc()
        self.registry.promise(id, message.number, queue, "voicemail", message.at, utc)
        self.wake()

    def over(self, switch: Switch, live: Live, cdr: Cdr) -> None:
        """The call is over; its verdict says whether something is owed, or was kept."""
        if live.is_callback:
            self.registry.ended(cdr.call, cdr.disposition, switch.utc())
        elif live.is_on_line:
            if reason := self._owed(switch, live, cdr):
                self.promise(switch, live, live.caller.ani, cdr.queue or "", reason)
            self._promises.end(cdr.call)
            self.registry.leaves(live.caller.ani)
        self.wake()

    def _owed(self, switch: Switch, live: Live, cdr: Cdr) -> str | None:
        """Who hung up after waiting long enough, and who waited when we stopped."""
        queue = switch.setup.queue(cdr.queue)
        rules = queue.callbacks if queue else None
        if rules is None:
            return None
        if cdr.disposition == "abandoned":
            after_s = rules.abandoned_after_s
            return "abandoned" if after_s is not None and live.waited_s >= after_s else None
        was_waiting = cdr.disposition == "hung_up" and cdr.ended_by == "shutdown" and cdr.agent is None
        return "crash" if was_waiting else None

    # ---- calling

    def run(self, switch: Switch) -> None:
        """Begin what is due, as far as the queues' agents allow, and take back what waits past its window."""
        if switch.now < self.wake_at:
            return
        utc = switch.utc()
        for call in self.registry.closed(utc):
            switch.then(switch.calls[call], ev.HangUpOrdered("outside the hours of callbacks"))
        if not switch.is_draining:
            for entry in self.registry.due(utc, switch.n_agents):
                with suppress(BusyError):  # the end of any call wakes us
                    self._begin(switch, entry)
        next_at = self.registry.next_at(utc)
        sleep_s = MAX_SLEEP_S if next_at is None else (next_at - utc).total_seconds()
        self.wake_at = switch.now + min(max(sleep_s, 0.05), MAX_SLEEP_S)

    def _begin(self, switch: Switch, entry: CallbackEntry) -> None:
        rules, queue, utc = self.registry.rules[entry.queue], switch.setup.staff.queues[entry.queue], switch.utc()
        caller = plan.Caller(entry.number, entry.dnis or "", rules.trunk)
        admitting.check_room(switch, caller)
        call = switch.new_call()
        self.registry.begin(entry.number, call, utc)
        live = switch.add(call, caller, None)
        live.place_at = switch.now - max(timedelta(), utc - entry.arrived_at).total_seconds()
        language = entry.language or rules.language
        step = steps.Queue(
            _PLACE,
            {},
            entry.queue,
            needs_of(entry.needs),
            keep_place=True,
            music=queue.music,
            announces=queue.announces if rules.customer_first else (),
            whisper=rules.whisper or queue.whisper,
            greeting=queue.greeting,
            language=language,
        )
        switch.errands.look_up("customers", entry.number, 1.0, lambda _, found: _learn(live, found))
        began = ev.CallbackBegan(caller, step, rules.customer_first, rules.ring_for_s, rules.prompts)
        switch.then(live, began)

    def may_call(self, switch: Switch, live: Live) -> bool:
        """Whether the customer's phone may ring now; if not, the call ends."""
        is_allowed = self.registry.may_call(live.machine.id, switch.utc())
        if not is_allowed:
            switch.then(live, ev.HangUpOrdered("outside the hours of callbacks"))
        return is_allowed


def _learn(live: Live, found: Mapping[str, str]) -> None:
    live.values |= {f"customer.{name}": text for name, text in found.items()}


def needs_of(text: str | None) -> steps.Needs:
    """What steps.needs_text() wrote."""
    terms = text.split(" or ") if text else []
    return tuple(tuple(_need(need) for need in term.split(" and ")) for term in terms)


def _need(text: str) -> steps.Need:
    skill, _, level = text.rpartition(">=")
    return skill, int(level)
