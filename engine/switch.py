"""The conductor: events in, call machines step, commands out. It alone knows all the rooms, and it is given them.

A round of the engine: the rooms post what happened; the ACD's clock is moved first; then each event is handled to the
end of its consequences before the next is looked at. So between two events of the outside the call machines and the
ACD core always agree on which offers are open.

Handlers stand in the order of a call's life.
"""

import heapq
import itertools
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from engine import doors
from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.callflow.call import Call, Rules
from engine.callflow.commands import Command
from engine.callflow.errors import BusyError, CallError, ImpossibleEvent, PlanError
from engine.callflow.events import Event
from engine.callflow.record import Segment
from engine.callflow.settings import Settings
from engine.callflow.staff import Staff
from engine.callflow.table import State
from engine.trace import Trace

log = logging.getLogger(__name__)

CALLER = 0  # the caller's leg among a call's legs; called legs are listed by their offer

News = Event | ev.LegMedia | ev.LegEnded

_PLANNED: Mapping[type[plan.Step], Callable[..., Event]] = {
    steps.Answer: ev.AnswerPlanned,
    steps.Play: ev.PlayPlanned,
    steps.Queue: ev.QueuePlanned,
    steps.HangUp: ev.HangUpPlanned,
}


@dataclass(slots=True)
class Live:
    """A call that is not over: its machine, its place in the plan, its legs."""

    machine: Call
    caller: plan.Caller
    step: int | None = None  # number of the plan's step that stands
    legs: dict[int, int] = field(default_factory=dict)  # offer, or CALLER -> leg
    timer_set: float | None = None  # the machine's deadline that stands in the heap


class Switch:
    """`to_utc` turns engine time into UTC; the only clock is the `now` of round()."""

    def __init__(
        self,
        settings: Settings,
        staff: Staff,
        book: plan.PlanBook,
        acd: doors.Acd,
        sip: doors.Sip,
        media: doors.Media,
        records: doors.Records,
        trace: Trace,
        to_utc: Callable[[float], datetime],
    ) -> None:
        self.calls: dict[str, Live] = {}
        self.is_draining = False
        self.n_calls_total = 0
        self._settings, self._staff, self._book = settings, staff, book
        self._acd, self._sip, self._media, self._records, self._trace = acd, sip, media, records, trace
        self._to_utc = to_utc
        self._zone = ZoneInfo(book.timezone)
        self._trunk_limits = {trunk.name: trunk.max_calls for trunk in settings.trunks}
        self._inbox: deque[tuple[str, News]] = deque()
        self._consequences: deque[tuple[str, News]] = deque()
        self._timers: list[tuple[float, str]] = []
        self._call_numbers = itertools.count(1)
        self._transfers = itertools.count(-1, -1)  # numbers of transfer attempts; the ACD numbers its offers from 1 up
        self._leg_calls: dict[int, str] = {}
        self._dead: set[int] = set()  # legs whose end stands in the inbox of this round
        # a recording is complete only after its leg, and perhaps its call, is gone
        self._recordings: dict[int, str] = {}
        self._now = 0.0

    # ---- events in

    def post(self, call: str, news: News) -> None:
        """What a room has to tell. Safe inside any callback: nothing is carried out before the next round."""
        self._inbox.append((call, news))

    def new_call(self) -> str:
        """A name that no other call of this switch has or had: UTC of its arrival, and a count."""
        return f"{self._to_utc(self._now):%Y%m%d-%H%M%S}-{next(self._call_numbers):06d}"

    def round(self, now: float) -> None:
        """Carry out everything that happened until `now`."""
        self._now = now
        self._bury_dead_legs()
        self._acd.advance(now)
        self._gather()
        for news in self._media.poll():
            self._take_media_news(news)
        while self._timers and self._timers[0][0] <= now:
            deadline, call = heapq.heappop(self._timers)
            if (live := self.calls.get(call)) and live.machine.deadline == deadline:
                live.timer_set = None
                self._step(call, ev.TimeUp())
        while self._consequences or self._inbox:
            self._step(*(self._consequences or self._inbox).popleft())

    def _bury_dead_legs(self) -> None:
        """The media room forgets ended legs before all else: PJSIP gives the conference slot of an ended leg to the
        next one, which may be answered in this very round, while news that the dead leg left behind still asks for
        audio on it."""
        self._dead = {news.leg for _, news in self._inbox if isinstance(news, ev.LegEnded)}
        for leg in self._dead:
            self._media.detach(leg)

    def deadline(self) -> float:
        """When the next round is needed even if nothing happens."""
        return min(self._timers[0][0] if self._timers else float("inf"), self._acd.deadline())

    def hang_up(self, call: str, by: str, now: float) -> bool:
        """An operator ends a call. False: there is none of this name."""
        if call not in self.calls:
            return False
        self._now = now
        self._step(call, ev.HangUpOrdered(by))
        return True

    def place_of(self, live: Live) -> str | None:
        """Where in the plans the call stands, as file:line."""
        return None if live.step is None else str(self._book.steps[live.step].place)

    # ---- one event

    def _step(self, call: str, news: News) -> None:
        if isinstance(news, ev.LegMedia):
            if news.leg not in self._dead:
                self._media.attach(news.leg, news.slot, news.stream)
            return
        if isinstance(news, ev.LegEnded):
            self._forget_leg(call, news.leg)
            return
        if isinstance(news, ev.CallArrived | ev.CallTurnedAway):
            news = self._admit(call, news)
        live = self.calls.get(call)
        if live is None:
            log.error("call %s: %s after its end", call, news)
            return
        try:
            self._run(live, news)
        except CallError as error:
            self._consequences.append((call, ev.CallFailed(error)))
        except Exception as error:  # a bug met by one call must not end the others
            log.exception("call %s: %s", call, news)
            self._consequences.append((call, ev.CallFailed(CallError(f"{type(error).__name__}: {error}"))))
        self._gather()

    def _run(self, live: Live, event: Event) -> None:
        machine, was = live.machine, live.machine.state
        try:
            commands = machine.handle(event, self._now)
        except ImpossibleEvent as error:
            log.error("call %s: %s", machine.id, error)
            self._write_trace(machine.id, event, was, was, [], str(error))
            raise
        self._write_trace(machine.id, event, was, machine.state, commands, machine.late)
        self._set_timer(live)
        for command in commands:
            _CARRY_OUT[type(command)](self, live, command)
        if machine.state is State.ENDED and not live.legs:
            self.calls.pop(machine.id, None)

    def _set_timer(self, live: Live) -> None:
        """Timers that were dropped stay in the heap until they are due; most talks are far shorter than their limit."""
        deadline = live.machine.deadline
        if deadline is None or deadline == live.timer_set:
            return
        live.timer_set = deadline
        heapq.heappush(self._timers, (deadline, live.machine.id))
        if len(self._timers) > 4 * len(self.calls) + 1024:
            machines = [other.machine for other in self.calls.values()]
            self._timers = [(machine.deadline, machine.id) for machine in machines if machine.deadline is not None]
            heapq.heapify(self._timers)

    def _write_trace(
        self, call: str, event: Event, was: State, state: State, commands: list[Command], note: str | None
    ) -> None:
        self._trace.write(self._now, self._to_utc(self._now), call, event, was, state, commands, note)

    def _gather(self) -> None:
        """What followed in the ACD comes before anything else that waits."""
        self._consequences.extend(self._acd.take_events())
        for span in self._acd.take_spans():
            self._records.write_span(span)
            if span.state == "ACW" and span.call:
                wrap_up = Segment(span.call, "wrap_up", span.began_at, span.ended_at, "done", agent=span.agent)
                self._records.write_segment(wrap_up)

    def _take_media_news(self, news: doors.MediaNews) -> None:
        match news:
            case ev.LegPlayed(leg, play):
                if call := self._leg_calls.get(leg):
                    self._consequences.append((call, ev.PlayFinished(play)))
            case ev.RecordingClosed(leg):
                call = self._recordings.pop(leg)
                path = recording_path(call, self._settings.recording.format)
                self._records.write_recording(call, replace(news, path=path))
            case ev.RecordingTrouble(leg, path, text):
                log.error("recording %s of call %s: %s", path, self._recordings.get(leg), text)

    # ---- arrival

    def _admit(self, call: str, event: ev.CallArrived | ev.CallTurnedAway) -> Event:
        """Take the call, or say why not. What the SIP room has turned away by itself gets its record too."""
        caller = event.caller
        self.n_calls_total += 1
        error = event.error if isinstance(event, ev.CallTurnedAway) else None
        name = None
        try:
            if error is None:
                self._check_room(caller)
                name = self._book.plan_for(caller.dnis)
        except (BusyError, PlanError) as refusal:
            log.warning("call %s from %r by trunk %s turned away: %s", call, caller.ani, caller.trunk, refusal)
            error = refusal
        limits = self._settings.limits
        path = recording_path(call, self._settings.recording.format)
        machine = Call(call, Rules(limits.max_talk_s, limits.ending_s, self._settings.recording.calls, path), name)
        self.calls[call] = Live(machine, caller, legs={CALLER: event.leg})
        self._leg_calls[event.leg] = call
        return ev.CallTurnedAway(caller, event.leg, error) if error else event

    def _check_room(self, caller: plan.Caller) -> None:
        limits = self._settings.limits
        if self.is_draining:
            raise BusyError("the switch is stopping", retry_after_s=limits.retry_after_s)
        if len(self.calls) >= limits.max_calls:
            raise BusyError(f"all {limits.max_calls} calls are taken", retry_after_s=limits.retry_after_s)
        most = self._trunk_limits.get(caller.trunk)
        if most is not None and sum(live.caller.trunk == caller.trunk for live in self.calls.values()) >= most:
            raise BusyError(f"all {most} calls of trunk {caller.trunk} are taken", retry_after_s=limits.retry_after_s)

    def _open_cdr(self, live: Live, command: do.OpenCdr) -> None:
        self._records.open_cdr(command.cdr)

    def _reject_caller(self, live: Live, command: do.RejectCaller) -> None:
        self._sip.reject(live.legs[CALLER], command.status, command.retry_after_s)

    # ---- the plan

    def _take_step(self, live: Live, command: do.TakeStep) -> None:
        at = self._to_utc(self._now).astimezone(self._zone)
        if live.step is None:
            assert live.machine.plan
            stop = self._book.enter(live.machine.plan, plan.Situation(live.caller, at))
        else:
            stop = self._book.after(live.step, command.result, plan.Situation(live.caller, at))
        live.step = stop.index
        if isinstance(stop.step, steps.Transfer):
            event: Event = ev.TransferPlanned(stop.step, next(self._transfers))
        else:
            event = _PLANNED[type(stop.step)](stop.step)
        self._consequences.append((live.machine.id, event))

    def _answer_caller(self, live: Live, command: do.AnswerCaller) -> None:
        self._sip.answer(live.legs[CALLER])

    # ---- what the caller hears

    def _play(self, live: Live, command: do.PlayPrompts) -> None:
        self._media.play(live.legs[CALLER], [str(item) for item in command.items], command.play, command.language)

    def _stop_prompts(self, live: Live, command: do.StopPrompts) -> None:
        self._media.stop_play(live.legs[CALLER])

    def _start_music(self, live: Live, command: do.StartMusic) -> None:
        self._media.start_music(live.legs[CALLER], command.music)

    def _stop_music(self, live: Live, command: do.StopMusic) -> None:
        self._media.stop_music(live.legs[CALLER])

    def _start_recording(self, live: Live, command: do.StartRecording) -> None:
        leg = live.legs[CALLER]
        self._recordings[leg] = live.machine.id
        self._media.record(leg, f"{self._settings.recording.folder}/{live.machine.cdr.recording}")

    # ---- the queue and its agents

    def _enqueue(self, live: Live, command: do.Enqueue) -> None:
        self._acd.enqueue(live.machine.id, command.step, self._now)

    def _leave_queue(self, live: Live, command: do.LeaveQueue) -> None:
        self._acd.leave(live.machine.id, command.outcome, self._now)

    def _ring_agent(self, live: Live, command: do.RingAgent) -> None:
        phone = self._staff.agents[command.agent].phone
        headers = {"X-Agner-Call": live.machine.id, "X-Agner-Queue": live.machine.cdr.queue or ""}
        self._dial(live, command.offer, phone, headers)

    def _take_offer(self, live: Live, command: do.TakeOffer) -> None:
        self._acd.take(command.offer, self._now)

    def _decline_offer(self, live: Live, command: do.DeclineOffer) -> None:
        self._acd.decline(command.offer, command.refusal, self._now)

    def _give_back_agent(self, live: Live, command: do.GiveBackAgent) -> None:
        self._acd.give_back(command.offer, self._now)

    def _release_agent(self, live: Live, command: do.ReleaseAgent) -> None:
        self._acd.release(live.machine.id, self._now)

    # ---- called legs

    def _dial_out(self, live: Live, command: do.DialOut) -> None:
        self._dial(live, command.offer, command.uri, {"X-Agner-Call": live.machine.id})

    def _dial(self, live: Live, offer: int, uri: str, headers: Mapping[str, str]) -> None:
        leg = self._sip.dial(live.machine.id, offer, uri, live.caller, headers)
        live.legs[offer] = leg
        self._leg_calls[leg] = live.machine.id

    def _bridge(self, live: Live, command: do.Bridge) -> None:
        self._media.bridge(live.legs[CALLER], live.legs[command.offer])

    # ---- the end

    def _hang_up_caller(self, live: Live, command: do.HangUpCaller) -> None:
        self._sip.hang_up(live.legs[CALLER])

    def _hang_up_called(self, live: Live, command: do.HangUpCalled) -> None:
        if (leg := live.legs.get(command.offer)) is not None:
            self._sip.hang_up(leg, command.elsewhere)

    def _drop_legs(self, live: Live, command: do.DropLegs) -> None:
        for leg in list(live.legs.values()):
            log.warning("call %s: leg %d did not end in time", live.machine.id, leg)
            self._sip.drop(leg)

    def _forget_leg(self, call: str, leg: int) -> None:
        self._media.detach(leg)
        self._leg_calls.pop(leg, None)
        live = self.calls.get(call)
        if live is None:
            return
        live.legs = {offer: other for offer, other in live.legs.items() if other != leg}
        if live.legs:
            return
        if live.machine.state is State.ENDED:
            del self.calls[call]
        else:
            self._consequences.append((call, ev.LegsGone()))

    def _write_segment(self, live: Live, command: do.WriteSegment) -> None:
        self._records.write_segment(command.segment)

    def _write_cdr(self, live: Live, command: do.WriteCdr) -> None:
        self._records.write_cdr(command.cdr)


_CARRY_OUT: Mapping[type[Command], Callable[[Switch, Live, Any], None]] = {
    do.OpenCdr: Switch._open_cdr,
    do.RejectCaller: Switch._reject_caller,
    do.TakeStep: Switch._take_step,
    do.AnswerCaller: Switch._answer_caller,
    do.PlayPrompts: Switch._play,
    do.StopPrompts: Switch._stop_prompts,
    do.StartMusic: Switch._start_music,
    do.StopMusic: Switch._stop_music,
    do.StartRecording: Switch._start_recording,
    do.Enqueue: Switch._enqueue,
    do.LeaveQueue: Switch._leave_queue,
    do.RingAgent: Switch._ring_agent,
    do.TakeOffer: Switch._take_offer,
    do.DeclineOffer: Switch._decline_offer,
    do.GiveBackAgent: Switch._give_back_agent,
    do.ReleaseAgent: Switch._release_agent,
    do.DialOut: Switch._dial_out,
    do.Bridge: Switch._bridge,
    do.HangUpCaller: Switch._hang_up_caller,
    do.HangUpCalled: Switch._hang_up_called,
    do.DropLegs: Switch._drop_legs,
    do.WriteSegment: Switch._write_segment,
    do.WriteCdr: Switch._write_cdr,
}


def recording_path(call: str, form: str) -> str:
    """Below the recordings folder: by day, and the file names the call."""
    return f"{call[:4]}/{call[4:6]}/{call[6:8]}/{call}.{form}"
