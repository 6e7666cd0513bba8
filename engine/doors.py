"""What the conductor asks of the rooms it is given, as protocols: tests give it fakes, app.py the real ones.

Every room posts what happens by `post(call, event)`, or answers `poll()` on the engine's thread. Nothing here blocks,
and nothing here raises for something the outside world did: that comes back as an event.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from engine.callflow.events import Event, LegCleared, LegEnded, LegMedia, LegRefers, Loss, OfferGivenUp, Refusal
from engine.callflow.media_news import MediaNews, RecordingClosed
from engine.callflow.plan import Caller
from engine.callflow.record import (
    AgentSpan,
    BlacklistHit,
    CallbackEntry,
    Cdr,
    Message,
    Segment,
    SurveyAnswer,
)
from engine.callflow.steps import Queue

Post = Callable[[str, Event | LegMedia | LegEnded | LegCleared | LegRefers], None]  # call id, what happened to it


class Sip(Protocol):
    """Legs: an int each, never used twice. The caller's leg is announced by CallArrived, called legs come from
    dial() and dial_customer()."""

    def progress(self, leg: int) -> None:
        """183 with SDP to a caller who is not answered: early media. CallerHears follows when audio flows; answer(),
        with the same SDP, or reject() afterwards."""
        ...

    def answer(self, leg: int) -> None: ...
    def ring(self, leg: int) -> None:
        """180 to a caller who is not answered and does not hear us."""
        ...

    def reject(self, leg: int, status: int, retry_after_s: int | None = None) -> None: ...
    def dial(
        self, call: str, offer: int, uri: str, caller: Caller, headers: Mapping[str, str], display_name: str = ""
    ) -> int:
        """Send an INVITE; news comes as Called... events with this offer. Returns the leg. `uri` is a SIP address, or
        trunk:NAME/NUMBER: over a trunk, whichever of its destinations takes the call.

        The phone shows `display_name`, else the caller's name, and the caller's number. A value of an X-... header may
        be any text: what is not printable ASCII is percent-encoded (RFC 3986) as UTF-8, and so is "%".
        """
        ...

    def dial_customer(self, call: str, uri: str, caller: Caller, headers: Mapping[str, str]) -> int:
        """Call a customer back, from the number `caller.ani`. CustomerAnswered or CustomerRefused comes; afterwards it
        is the caller's leg: CallerDigit, CallerGone, and it can be recorded. It rings until hang_up()."""
        ...

    def hang_up(self, leg: int, elsewhere: bool = False) -> None:
        """CANCEL, BYE or a final answer, as the leg's state needs. Twice is once; LegEnded follows."""
        ...

    def give(self, leg: int, call: str, offer: int) -> None:
        """A called leg belongs to another call from here on: its news comes there, with this offer."""
        ...

    def report_transfer(self, leg: int, status: int) -> None:
        """Tell a phone that asked for a transfer (LegRefers) what becomes of it: a NOTIFY (RFC 3515), the last one with
        a status of 200 or above."""
        ...

    def drop(self, leg: int) -> None:
        """Forget a leg that does not end. LegEnded follows at once."""
        ...

    def lose(self, leg: int, loss: Loss) -> None:
        """The far side of an answered leg is gone without a word: it is hung up, and its end comes as if the far side
        had said so, with the loss."""
        ...

    def take_key(self, leg: int, key: str) -> None:
        """A key that the media room heard in the audio: CallerDigit, unless it came by signalling as well."""
        ...

    def n_calls_out(self, trunk: str) -> int:
        """Calls of ours that are out over a trunk now."""
        ...

    def notify_mwi(self, uri: str, account: str, n_new: int, n_old: int) -> None:
        """Tell a phone how many messages wait (RFC 3842), by a NOTIFY that it did not ask for. `account` is the SIP
        address that the phone calls to listen to them. A failure is only logged."""
        ...


class Media(Protocol):
    """Who hears what. All by leg, whichever direction it was opened in; asking for a leg whose stream does not stand
    yet takes effect when it does."""

    def attach(self, leg: int, slot: int, stream: int) -> None: ...
    def detach(self, leg: int) -> None: ...
    def play(self, leg: int, items: Sequence[str | Path], play: int, language: str) -> None:
        """Prompts by name and sound files one after the other; LegPlayed(leg, play) follows, unless it was stopped or
        bridged away. A file that cannot be read is left out and logged."""
        ...

    def stop_play(self, leg: int) -> None: ...
    def start_music(self, leg: int, music: str) -> None: ...
    def stop_music(self, leg: int) -> None: ...
    def bridge(self, leg: int, other: int) -> None: ...
    def unbridge(self, leg: int, other: int) -> None: ...
    def record(self, leg: int, path: str) -> None:
        """Both sides of a caller's or customer's leg. RecordingClosed follows after its end, or the leg's."""
        ...

    def stop_record(self, leg: int, discard: bool = False) -> None:
        """`discard`: the file is deleted, and no RecordingClosed comes."""
        ...

    def record_message(self, leg: int, path: str) -> None:
        """Only what a caller's or customer's leg says, mono, beside its recording. MessageClosed follows after its end,
        or the leg's."""
        ...

    def stop_message(self, leg: int, discard: bool = False) -> None:
        """`discard`: the file is deleted, and no MessageClosed comes."""
        ...

    def delete(self, path: str) -> None:
        """Delete a recording or message, later. A missing file is no error."""
        ...

    def poll(self) -> list[MediaNews]: ...


class Records(Protocol):
    """Rows are written later by the room's own thread; a slow or dead database delays them and loses none."""

    def open_cdr(self, cdr: Cdr) -> None: ...
    def write_cdr(self, cdr: Cdr) -> None: ...
    def write_segment(self, segment: Segment) -> None: ...
    def write_span(self, span: AgentSpan) -> None: ...
    def write_recording(self, call: str, closed: RecordingClosed) -> None: ...
    def write_callback(self, entry: CallbackEntry) -> None:
        """A new one, or a later version of one that is there. Survives a kill from the return on."""
        ...

    def write_message(self, message: Message) -> None:
        """New, heard or deleted; survives a kill from the return on."""
        ...

    def write_survey(self, answer: SurveyAnswer) -> None: ...
    def count_blacklist_hit(self, hit: BlacklistHit) -> None: ...


class Acd(Protocol):
    """Queues and agents by name. What follows from a request comes out of take_events()."""

    def enqueue(self, call: str, step: Queue, now: float, arrival: float | None = None) -> None:
        """`arrival`: since when its place counts, if not from now."""
        ...

    def leave(self, call: str, outcome: str, now: float) -> None: ...
    def take(self, offer: int, now: float) -> None: ...
    def decline(self, offer: int, refusal: Refusal, now: float) -> None: ...
    def give_back(self, offer: int, now: float) -> None: ...
    def cleared(self, offer: int, now: float) -> None:
        """After OfferGivenUp: the phone is out of the offer's leg, or there is none."""
        ...

    def release(self, call: str, now: float) -> None: ...
    def outside_began(self, agent: str, now: float) -> None:
        """A call that is none of the ACD's goes to the agent's phone: no offers until as many have ended. An offer that
        rings already rings on."""
        ...

    def outside_dialled(self, agent: str, now: float) -> None:
        """One that the agent's phone has dialled: an offer that rings there is cancelled."""
        ...

    def outside_ended(self, agent: str, now: float) -> None: ...
    def position(self, call: str) -> int:
        """1 is next in its queue; 0: does not wait."""
        ...

    def estimate(self, call: str, now: float) -> tuple[float, float]:
        """Median and 80th percentile of the wait to come, in seconds; infinite while nobody works."""
        ...

    def advance(self, now: float) -> None:
        """Let time pass: offers expire, wrap-ups end, waits end, needs relax."""
        ...

    def deadline(self) -> float:
        """When advance() is needed next; infinite if nothing is due."""
        ...

    def take_events(self) -> list[tuple[str, Event | OfferGivenUp]]: ...
    def take_spans(self) -> list[AgentSpan]:
        """Stretches of agents' states that ended, each once."""
        ...


class Promises(Protocol):
    """Who waits, on disk at once, so that a kill forgets nobody."""

    def begin(
        self,
        call: str,
        number: str,
        queue: str,
        arrived_at: datetime,
        dnis: str | None = None,
        language: str | None = None,
        needs: str | None = None,
    ) -> None: ...
    def end(self, call: str) -> None:
        """Twice is once."""
        ...


class Bindings(Protocol):
    """Where phones are, on disk at once, so that a restart finds them. Values are JSON values."""

    found: list[dict[str, Any]]  # what the last run left, each with its "key"

    def put(self, key: str, values: dict[str, Any]) -> None: ...
    def end(self, key: str) -> None: ...


class Errands(Protocol):
    """What is asked of the world outside; answers come while poll() runs."""

    def look_up(
        self, source: str, number: str, within_s: float, take: Callable[[str, Mapping[str, str]], None]
    ) -> None: ...
    def ask(self, question: Callable[[Any], Any], take: Callable[[Any], None]) -> None:
        """`question` is put to the database, in another thread; `take` gets the answer or the error."""
        ...

    def tell(self, url: str, values: Mapping[str, str]) -> None: ...
    def poll(self) -> None: ...
