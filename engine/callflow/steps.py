"""The steps that somebody carries out: what a plan can ask for. Counterparts: plan.py, which walks them; call.py, which
lives through them; engine/config/steps.py, which reads them.

Rules for this file: frozen dataclasses of plain values. Where a text may be `$name`, the conductor puts in what the
call knows of that name (Situation.value) when it carries the step out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from engine.callflow.plan import Step

# ---- what is heard


@dataclass(frozen=True, slots=True)
class Say:
    """A value spoken from parts (say.py): a number, digits, money, a time, a count, a duration, opening hours."""

    kind: str
    value: str  # or `$name`
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.value}{f' {self.unit}' if self.unit else ''}"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A sound file, such as a message."""

    path: str  # below the recordings folder

    def __str__(self) -> str:
        return f"recording {self.path}"


Item = str | Say | Recorded  # a prompt's name, a value to be spoken, a file


def items_text(items: tuple[Item, ...]) -> str:
    return ", ".join(str(item) for item in items)


@dataclass(frozen=True, slots=True)
class Answer(Step):
    def describe(self) -> str:
        return "answer"


@dataclass(frozen=True, slots=True)
class EarlyMedia(Step):
    """183: the caller hears us before the call is answered and billed. Answers on a trunk that has no early media."""

    def describe(self) -> str:
        return "early media, or answer where the trunk has none"


@dataclass(frozen=True, slots=True)
class Play(Step):
    items: tuple[Item, ...]
    language: str

    def describe(self) -> str:
        return f"play {items_text(self.items)} ({self.language})"


# ---- what the caller keys in


@dataclass(frozen=True, slots=True)
class Ask(Step):
    """Play, and take digits: a menu if it has choices, else a number of n_min to n_max digits.

    The result is the choice, or `done` without choices; `no_input` after `tries` rounds without an answer, `invalid`
    after as many of which the last had a wrong one. Digits that the caller keyed in before are taken, and digits cut
    the items short, unless `barge_in` is False.
    """

    results: ClassVar[tuple[str, ...]] = ("done", "no_input", "invalid")

    items: tuple[Item, ...]
    language: str
    choices: tuple[str, ...] = ()
    n_min: int = 1
    n_max: int = 1
    end_key: str = "#"  # ends a number early; empty: none
    first_s: float = 5.0  # from the end of the items to the first digit
    between_s: float = 3.0  # between digits
    tries: int = 3
    invalid: tuple[Item, ...] = ()  # said before the next try
    silent: tuple[Item, ...] = ()
    barge_in: bool = True
    into: str = "digits"  # the name under which the digits are remembered
    survey: str = ""  # name of the survey question; the answer is stored with call and agent
    labels: tuple[str, ...] = ()  # of a survey: what each of the choices means

    def describe(self) -> str:
        what = f"survey {self.survey}" if self.survey else "menu" if self.choices else "collect"
        taken = "/".join(self.choices) if self.choices else f"{self.n_min} to {self.n_max} digits into {self.into}"
        return f"{what} {items_text(self.items)} ({self.language}): {taken}, {self.tries} tries"


@dataclass(frozen=True, slots=True)
class Consent(Step):
    """Say that the call is recorded. A caller who refuses in time is not, and what was recorded is deleted."""

    results: ClassVar[tuple[str, ...]] = ("given", "refused")

    items: tuple[Item, ...]
    language: str
    refuse_key: str = "9"
    within_s: float = 2.0  # from the end of the items on

    def describe(self) -> str:
        return f"consent {items_text(self.items)} ({self.language}), {self.refuse_key} refuses the recording"


@dataclass(frozen=True, slots=True)
class Record(Step):
    """Begin or end the recording of the call from here on."""

    is_on: bool = True

    def describe(self) -> str:
        return f"record {'on' if self.is_on else 'off'}"


@dataclass(frozen=True, slots=True)
class Voicemail(Step):
    """Take a message after a tone, which any key skips: until any key, or max_s. A caller who hangs up has left it."""

    results: ClassVar[tuple[str, ...]] = ("done", "too_short")

    box: str  # queue:NAME or agent:ID; NAME may be `$queue`, ID any `$name`
    tone: str = "beep"  # a prompt
    language: str = "zh"
    max_s: float = 120.0
    min_s: float = 2.0

    def describe(self) -> str:
        return f"voicemail for {self.box}, {self.min_s:g} s to {self.max_s:g} s"


@dataclass(frozen=True, slots=True)
class Messages(Step):
    """Listen to a mailbox by phone: asks for box and PIN, then plays message after message."""

    results: ClassVar[tuple[str, ...]] = ("done", "refused")

    language: str = "zh"

    def describe(self) -> str:
        return f"listen to messages ({self.language})"


# ---- errands: something is asked of another room, and the call waits for the answer at most deadline_s


@dataclass(frozen=True, slots=True)
class Errand(Step):
    late_result: ClassVar[str] = "done"  # the result when the deadline passes

    @property
    def deadline_s(self) -> float:
        return 1.0


@dataclass(frozen=True, slots=True)
class LookUp(Errand):
    """Ask for a customer. What is found is remembered as PREFIX.name, PREFIX.level ..."""

    results: ClassVar[tuple[str, ...]] = ("found", "unknown", "failed")
    late_result: ClassVar[str] = "failed"

    source: str = "customers"  # customers: the database; else a name under `look-ups` in switch.yaml
    number: str = "$ani"
    into: str = "customer"
    within_s: float = 1.0

    @property
    def deadline_s(self) -> float:
        return self.within_s

    def describe(self) -> str:
        return f"look up {self.number} in {self.source}, at most {self.within_s:g} s"


@dataclass(frozen=True, slots=True)
class Webhook(Errand):
    """Tell a web server; nobody waits for its answer."""

    url: str = ""
    values: Mapping[str, str] | None = None  # key -> text or `$name`; sent as JSON with call, ani, dnis

    def describe(self) -> str:
        return f"webhook {self.url}"


@dataclass(frozen=True, slots=True)
class Callback(Errand):
    """Promise to call back. One open callback for each number: asked again, the older arrival stays."""

    results: ClassVar[tuple[str, ...]] = ("done", "no_number")

    queue: str = ""  # or `$queue`: that in which the call has waited
    number: str = "$ani"
    reason: str = "timeout"  # timeout, asked, after_hours

    def describe(self) -> str:
        return f"callback to {self.number} by queue {self.queue} ({self.reason})"


# ---- the queue

Need = tuple[str, int]  # skill and its lowest level, 1 to 100
Needs = tuple[tuple[Need, ...], ...]  # any of these, each being all of those; () asks for nothing


def needs_text(needs: Needs) -> str:
    return " or ".join(" and ".join(f"{skill}>={level}" for skill, level in term) for term in needs) or "no skill"


@dataclass(frozen=True, slots=True)
class Relax:
    """From `after_s` of waiting on, other needs or a larger head start hold. None leaves what was."""

    after_s: float
    needs: Needs | None = None
    head_start_s: float | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """From `after_s` on the agents of these groups may take the call too; no group: everybody who serves the queue.

    The first turn holds at once. Of free agents, those of an earlier turn come first. A later turn with 0 s holds as
    soon as nobody of the turns before is free.
    """

    groups: tuple[str, ...]
    after_s: float = 0.0
    head_start_s: float | None = None

    def __str__(self) -> str:
        who = " and ".join(self.groups) or "everybody"
        after = f" after {self.after_s:g} s" if self.after_s else ""
        return f"{who}{after}" + ("" if self.head_start_s is None else f" with head start {self.head_start_s:g} s")


@dataclass(frozen=True, slots=True)
class Preferred:
    """An agent who takes the call if free. If busy, all others at once with a head start, or after wait_s."""

    agent: str  # an agent's number, or `$name`; an unknown one is nobody
    wait_s: float = 0.0
    head_start_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Announce:
    """Spoken over the music, `first_s` after entering the queue and then every `every_s` (infinite: once).

    An announcement whose value is not known at its time, such as an expected wait, is left out that time.
    """

    items: tuple[Item, ...]
    first_s: float
    every_s: float


@dataclass(frozen=True, slots=True)
class Queue(Step):
    """Wait for an agent.

    Results: the ends of a wait; an exit key; `served` when the agent hangs up first and the plan goes on after the
    talk.
    """

    results: ClassVar[tuple[str, ...]] = ("timeout", "full", "no_agents", "no_skill", "too_long", "served")

    queue: str
    needs: Needs = ()
    head_start_s: float = 0.0  # infinite: strict priority
    max_wait_s: float | None = None
    relax: tuple[Relax, ...] = ()
    turns: tuple[Turn, ...] = ()
    preferred: Preferred | None = None
    keep_place: bool = False  # the arrival of the call's first queue holds here too
    leave_without_agents: bool = False  # give up when nobody is logged in to the queue
    leave_without_skill: bool = False  # give up when nobody logged in has what the call asks for, now or relaxed
    music: str = ""
    announces: tuple[Announce, ...] = ()
    keys: tuple[str, ...] = ()  # exit digits; each is a result
    whisper: tuple[Item, ...] = ()  # to the agent who has picked up, before the talk
    greeting: tuple[Item, ...] = ()  # to the caller meanwhile, such as the agent's number
    language: str = "zh"

    def describe(self) -> str:
        parts = [f"queue {self.queue}"] + ([needs_text(self.needs)] if self.needs else [])
        if self.preferred:
            wait = f", waiting {self.preferred.wait_s:g} s for that agent" if self.preferred.wait_s else ""
            parts.append(f"first {self.preferred.agent}{wait}, if busy head start {self.preferred.head_start_s:g} s")
        parts += [f"{'first' if n == 0 else 'then'} {turn}" for n, turn in enumerate(self.turns)]
        if self.head_start_s == float("inf"):
            parts.append("strict priority")
        elif self.head_start_s:
            parts.append(f"head start {self.head_start_s:g} s")
        for relax in self.relax:
            change = [] if relax.needs is None else [needs_text(relax.needs)]
            change += [] if relax.head_start_s is None else [f"head start {relax.head_start_s:g} s"]
            parts.append(f"after {relax.after_s:g} s {', '.join(change)}")
        if self.max_wait_s is not None:
            parts.append(f"at most {self.max_wait_s:g} s")
        return ", ".join(parts)


# ---- elsewhere, and the end


AGENT, TRUNK = "agent:", "trunk:"  # beside SIP addresses: agent:1002, trunk:carrier/+4930123


@dataclass(frozen=True, slots=True)
class Transfer(Step):
    """Call somebody and connect the caller to them. Being connected has no way out.

    A caller who is not answered hears ringing when the called party rings, and is answered when that party is.
    """

    results: ClassVar[tuple[str, ...]] = ("busy", "no_answer", "failed")

    uri: str  # what follows AGENT, or the number of a trunk, may be `$name`
    ring_for_s: float
    ringback: str = ""
    follows_redirect: bool = False  # a 302 leads on to its number, if agents may dial that one; else it is a refusal

    def describe(self) -> str:
        return f"transfer to {self.uri}, ringing for {self.ring_for_s:g} s" + ", 302 followed" * self.follows_redirect


@dataclass(frozen=True, slots=True)
class HangUp(Step):
    results: ClassVar[tuple[str, ...]] = ()

    cause: str = "normal"

    def describe(self) -> str:
        return f"hang up ({self.cause}, {CAUSES[self.cause]} if not answered)"


# Causes a plan may give, and the SIP status of each for a call not yet answered (RFC 3398 section 7.2.4.1 gives the
# ISUP side).
CAUSES: Mapping[str, int] = {
    "normal": 480,
    "unavailable": 480,
    "busy": 486,
    "rejected": 603,
    "forbidden": 403,
    "not_found": 404,
    "congestion": 503,
}
