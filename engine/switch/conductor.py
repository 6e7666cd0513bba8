"""The conductor: events in, call machines step, commands out.

A round of the engine: the rooms post what happened; the ACD's clock is moved first; then each event is handled to the
end of its consequences before the next is looked at. So between two events of the outside the call machines and the
ACD core always agree on which offers are open.

What commands do is in the files beside this one; here is what makes calls begin, go round and end.
"""

import heapq
import itertools
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from engine.callflow import commands as do
from engine.callflow import events as ev
from engine.callflow import media_news, plan
from engine.callflow.blacklist import Blacklist
from engine.callflow.call import Call, Rules
from engine.callflow.commands import Command
from engine.callflow.errors import BusyError, CallError, ImpossibleEvent, PlanError
from engine.callflow.events import Event
from engine.callflow.record import Segment
from engine.callflow.table import State
from engine.switch import admitting, boxes, dialling, hearing, meaning, planning, sending, serving
from engine.switch.calling_back import CallingBack
from engine.switch.live import CALLER, Live, News, Rooms, Setup, recording_path

NOT_DIALLED_S = 1.0

log = logging.getLogger(__name__)


class Switch:
    """The only clock is the `now` of round()."""

    def __init__(self, setup: Setup, rooms: Rooms) -> None:
        self.setup = setup
        self.acd, self.sip, self.media, self.records = rooms.acd, rooms.sip, rooms.media, rooms.records
        self.errands, self.n_agents, self.to_utc = rooms.errands, rooms.n_agents, rooms.to_utc
        self._trace = rooms.trace
        self.now = 0.0
        self.calls: dict[str, Live] = {}
        self.agents = dict(setup.staff.agents)  # those who have left too, while they talk
        self.blacklist = Blacklist()
        self.boxes = boxes.Boxes()
        self.calling_back = CallingBack(setup, rooms.records, rooms.promises)
        self.is_draining = False
        self.n_calls_total = 0
        self.leg_calls: dict[int, str] = {}
        self.dialling = dialling.Dialling()
        self.clearing: dict[int, int] = {}  # leg -> its offer, which was given up
        # a recording is complete only after its leg, and perhaps its call, is gone
        self.recordings: dict[str, tuple[str, str]] = {}  # path on disk -> call, path below the folder
        self.transfers = itertools.count(-1, -1)  # numbers of transfer attempts; the ACD numbers its offers from 1 up
        self.tickets = itertools.count(1)  # of errands
        self._call_numbers = itertools.count(1)
        self._inbox: deque[tuple[str, News]] = deque()
        self._consequences: deque[tuple[str, News]] = deque()
        self._timers: list[tuple[float, str]] = []
        self._soon: list[tuple[float, int, str, Event]] = []
        self._order = itertools.count()
        self._is_at_work = False
        self._dead: set[int] = set()  # legs whose end stands in the inbox of this round

    def apply(self, setup: Setup) -> None:
        """From here on another configuration holds: for new calls all of it, for those that wait the queues' and
        agents' settings, while they walk on in the book they began with. The ACD is told by who reloads."""
        self.setup = setup
        self.agents |= setup.staff.agents
        self.calling_back.configure(setup)
        boxes.recount(self)

    # ---- events in

    def post(self, call: str, news: News) -> None:
        """What a room has to tell. Safe inside any callback: nothing is carried out before the next round. But who is
        refused while we dial, because PJSIP has no room for a leg, is refused later: else the next agent would be
        dialled at once, and so the whole floor in one round, while the network waits."""
        if self._is_at_work and isinstance(news, ev.CalledRefused):
            heapq.heappush(self._soon, (self.now + NOT_DIALLED_S, next(self._order), call, news))
        else:
            self._inbox.append((call, news))

    def then(self, live: Live, event: Event) -> None:
        """What follows at once, before anything else of the outside."""
        self._consequences.append((live.machine.id, event))

    def soon(self, seconds: float, live: Live, event: Event) -> None:
        heapq.heappush(self._soon, (self.now + seconds, next(self._order), live.machine.id, event))

    def utc(self) -> datetime:
        return self.to_utc(self.now)

    def new_call(self) -> str:
        """A name that no other call of this switch has or had: UTC of its arrival, and a count."""
        return f"{self.utc():%Y%m%d-%H%M%S}-{next(self._call_numbers):06d}"

    def round(self, now: float) -> None:
        """Carry out everything that happened until `now`."""
        self.now = now
        if self._inbox or self._dead:
            self._bury_dead_legs()
        if self.acd.deadline() <= now:
            self.acd.advance(now)
        self._gather()
        for news in self.media.poll():
            self._take_media_news(news)
        self.errands.poll()
        self._ring_timers()
        self.calling_back.run(self)
        self._is_at_work = True
        while self._consequences or self._inbox:
            self._step(*(self._consequences or self._inbox).popleft())
        self._is_at_work = False

    def _bury_dead_legs(self) -> None:
        """The media room forgets ended legs before all else: PJSIP gives the conference slot of an ended leg to the
        next one, which may be answered in this very round, while news that the dead leg left behind still asks for
        audio on it."""
        self._dead = {news.leg for _, news in self._inbox if isinstance(news, ev.LegEnded)}
        for leg in self._dead:
            self.media.detach(leg)

    def _ring_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self.now:
            deadline, call = heapq.heappop(self._timers)
            if (live := self.calls.get(call)) and live.machine.deadline == deadline:
                live.timer_set = None
                self._step(call, ev.TimeUp())
        while self._soon and self._soon[0][0] <= self.now:
            _, _, call, event = heapq.heappop(self._soon)
            if call in self.calls:
                self._consequences.append((call, event))

    def deadline(self) -> float:
        """When the next round is needed even if nothing happens."""
        timers = [heap[0][0] for heap in (self._timers, self._soon) if heap]
        return min(*timers, self.acd.deadline(), self.calling_back.wake_at, float("inf"))

    def hang_up(self, call: str, by: str, now: float) -> bool:
        """An operator ends a call. False: there is none of this name."""
        if call not in self.calls:
            return False
        self.now = now
        self._step(call, ev.HangUpOrdered(by))
        return True

    def place_of(self, live: Live) -> str | None:
        """Where in the plans the call stands, as file:line."""
        return None if live.step is None else str(live.book.steps[live.step].place)

    # ---- one event

    def _step(self, call: str, news: News) -> None:
        if isinstance(news, ev.LegMedia):
            if news.leg not in self._dead:
                self.media.attach(news.leg, news.slot, news.stream)
            return
        if isinstance(news, ev.LegEnded):
            self._forget_leg(call, news.leg)
        if isinstance(news, ev.LegEnded | ev.LegCleared | ev.OfferGivenUp):
            serving.follow_phone(self, call, news)
            self._gather()
            return
        if isinstance(news, ev.LegRefers):
            sending.refers(self, news)
            return
        if isinstance(news, ev.CallArrived | ev.CallTurnedAway):
            news = self._admit(call, news)
        live = self.calls.get(call)
        if live is None:
            log.error("call %s: %s after its end", call, news)
            return
        try:
            self._run(live, meaning.meant(self, live, news))
        except CallError as error:
            self._consequences.append((call, ev.CallFailed(error)))
        except Exception as error:  # a bug met by one call must not end the others
            log.exception("call %s: %s", call, news)
            self._consequences.append((call, ev.CallFailed(CallError(f"{type(error).__name__}: {error}"))))
        self._gather()

    def is_dead(self, leg: int) -> bool:
        """Its end stands in the inbox of this round."""
        return leg in self._dead

    def _run(self, live: Live, event: Event) -> None:
        machine, was, was_waiting = live.machine, live.machine.state, live.machine.queue is not None
        try:
            commands = machine.handle(event, self.now)
        except ImpossibleEvent as error:
            log.error("call %s: %s", machine.id, error)
            self._write_trace(machine.id, event, was, was, [], str(error))
            raise
        self._write_trace(machine.id, event, was, machine.state, commands, machine.late)
        if was_waiting and machine.queue is None:
            live.waited_s = self.now - machine.waits_since
        self._set_timer(live)
        for command in commands:
            _CARRY_OUT[type(command)](self, live, command)
        self._see_to_the_end(live)

    def _see_to_the_end(self, live: Live) -> None:
        """The last leg is gone. A callback has none before the first agent is called."""
        if live.legs:
            return
        if live.machine.state is State.ENDED:
            self.calls.pop(live.machine.id, None)
        elif not live.is_end_told and (live.machine.state is State.CLOSING or not live.is_callback):
            live.is_end_told = True
            self._consequences.append((live.machine.id, ev.LegsGone()))

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
        """What is keyed in to open a mailbox is nobody's business."""
        if isinstance(event, ev.CallerDigit) and self.calls[call].machine.mailbox:
            event = ev.CallerDigit("?")
        self._trace.write(self.now, self.utc(), call, event, was, state, commands, note)

    def _gather(self) -> None:
        """What followed in the ACD comes before anything else that waits."""
        self._consequences.extend(self.acd.take_events())
        for span in self.acd.take_spans():
            self.records.write_span(span)
            if span.state == "LOGGED_OUT":
                self.calling_back.wake()
            if span.state == "ACW" and span.call:
                wrap_up = Segment(span.call, "wrap_up", span.began_at, span.ended_at, "done", agent=span.agent)
                self.records.write_segment(wrap_up)

    def _take_media_news(self, news: media_news.MediaNews) -> None:
        match news:
            case media_news.LegPlayed(leg, play):
                if live := self.calls.get(self.leg_calls.get(leg, "")):
                    hearing.played(self, live, leg, play)
            case media_news.LegKey(leg, key):
                self.sip.take_key(leg, key)
            case media_news.LegSilent(leg):
                log.warning("call %s: nothing is heard of leg %d any more", self.leg_calls.get(leg), leg)
                self.sip.lose(leg, ev.Loss.NO_AUDIO)
            case media_news.RecordingClosed(leg, on_disk):
                if on_disk in self.recordings:
                    call, path = self.recordings.pop(on_disk)
                    self.records.write_recording(call, replace(news, path=path))
            case media_news.MessageClosed():
                boxes.message_closed(self, news)
            case media_news.RecordingTrouble(leg, path, text):
                log.error("recording %s of call %s: %s", path, self.leg_calls.get(leg), text)

    # ---- arrival

    def _admit(self, call: str, event: ev.CallArrived | ev.CallTurnedAway) -> Event:
        """Take the call, or say why not. What the SIP room has turned away by itself gets its record too."""
        event = dialling.named(self, event)
        caller = event.caller
        self.n_calls_total += 1
        error = event.error if isinstance(event, ev.CallTurnedAway) else None
        name = None
        try:
            if error is None:
                admitting.check_room(self, caller)
                name = self.setup.book.plan_for(caller.dnis, caller.agent)
        except (BusyError, PlanError) as refusal:
            whence = f"trunk {caller.trunk}" if caller.trunk else "phone"
            log.warning("call %s from %r by %s turned away: %s", call, caller.ani, whence, refusal)
            error = refusal
        live = self.add(call, caller, name)
        live.legs[CALLER] = event.leg
        self.leg_calls[event.leg] = call
        if error:
            return ev.CallTurnedAway(caller, event.leg, error)
        if caller.agent:
            self.dialling.dialled(self, event.leg, caller.agent)
        else:
            live.is_on_line = True
            self.calling_back.arrives(self, live)
        return event

    def add(self, call: str, caller: plan.Caller, name: str | None) -> Live:
        settings, trunk = self.setup.settings, self.setup.trunk(caller.trunk)
        path = recording_path(call, settings.recording.format)
        dialled_max_s = self.setup.book.dialling.max_talk_s if caller.agent else None
        rules = Rules(
            settings.limits.max_talk_s if dialled_max_s is None else dialled_max_s,
            settings.limits.ending_s,
            settings.recording.calls,
            path,
            trunk is not None and trunk.early_media,
        )
        live = self.calls[call] = Live(Call(call, rules, name), caller, self.setup.book)
        return live

    def _open_cdr(self, live: Live, command: do.OpenCdr) -> None:
        self.records.open_cdr(command.cdr)

    def _reject_caller(self, live: Live, command: do.RejectCaller) -> None:
        self.sip.reject(live.legs[CALLER], command.status, command.retry_after_s)

    def _answer_caller(self, live: Live, command: do.AnswerCaller) -> None:
        self.sip.answer(live.legs[CALLER])

    def _ring_caller(self, live: Live, command: do.RingCaller) -> None:
        self.sip.ring(live.legs[CALLER])

    def _send_progress(self, live: Live, command: do.SendProgress) -> None:
        self.sip.progress(live.legs[CALLER])

    # ---- the end

    def _hang_up_caller(self, live: Live, command: do.HangUpCaller) -> None:
        if (leg := live.legs.get(CALLER)) is not None:  # a customer who was not called after all has none
            self.sip.hang_up(leg)

    def _drop_legs(self, live: Live, command: do.DropLegs) -> None:
        for leg in list(live.legs.values()):
            log.warning("call %s: leg %d did not end in time", live.machine.id, leg)
            self.sip.drop(leg)

    def _forget_leg(self, call: str, leg: int) -> None:
        self.media.detach(leg)
        self.leg_calls.pop(leg, None)
        self.dialling.ended(self, leg)
        if (live := self.calls.get(call)) is not None:
            live.legs = {offer: other for offer, other in live.legs.items() if other != leg}
            self._see_to_the_end(live)

    def _write_segment(self, live: Live, command: do.WriteSegment) -> None:
        self.records.write_segment(command.segment)

    def _write_cdr(self, live: Live, command: do.WriteCdr) -> None:
        """What is still owed is written first: after a kill in between there is one promise too many, not one too
        few."""
        self.calling_back.over(self, live, command.cdr)
        self.boxes.opened.pop(live.machine.id, None)
        self.records.write_cdr(command.cdr)


_CARRY_OUT: Mapping[type[Command], Callable[[Switch, Live, Any], None]] = {
    do.OpenCdr: Switch._open_cdr,
    do.RejectCaller: Switch._reject_caller,
    do.AnswerCaller: Switch._answer_caller,
    do.SendProgress: Switch._send_progress,
    do.RingCaller: Switch._ring_caller,
    do.TakeStep: planning.take_step,
    do.FollowRedirect: planning.follow_redirect,
    do.Remember: planning.remember,
    do.RunErrand: planning.run_errand,
    do.WriteSurvey: planning.write_survey,
    do.PlayPrompts: hearing.play,
    do.StopPrompts: hearing.stop_prompts,
    do.StartMusic: hearing.start_music,
    do.StopMusic: hearing.stop_music,
    do.Greet: hearing.greet,
    do.CutGreeting: hearing.cut_greeting,
    do.StartRecording: hearing.start_recording,
    do.StopRecording: hearing.stop_recording,
    do.StartMessage: boxes.start_message,
    do.StopMessage: boxes.stop_message,
    do.OpenMailbox: boxes.open_mailbox,
    do.MarkHeard: boxes.mark_heard,
    do.DeleteMessage: boxes.delete_message,
    do.AnswerMessage: boxes.answer_message,
    do.Enqueue: serving.enqueue,
    do.LeaveQueue: serving.leave_queue,
    do.RingAgent: serving.ring_agent,
    do.TakeOffer: serving.take_offer,
    do.DeclineOffer: serving.decline_offer,
    do.GiveBackAgent: serving.give_back_agent,
    do.ReleaseAgent: serving.release_agent,
    do.DialOut: serving.dial_out,
    do.DialCustomer: serving.dial_customer,
    do.Bridge: serving.bridge,
    do.Part: sending.part,
    do.ReportTransfer: sending.report_transfer,
    do.FollowAgent: sending.follow_agent,
    do.HangUpCalled: serving.hang_up_called,
    do.HangUpCaller: Switch._hang_up_caller,
    do.DropLegs: Switch._drop_legs,
    do.WriteSegment: Switch._write_segment,
    do.WriteCdr: Switch._write_cdr,
}
