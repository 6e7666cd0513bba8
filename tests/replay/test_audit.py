"""The auditor finds nothing wrong with what the core does, and everything that is wrong with a tampered trace."""

import faulthandler
import json
import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engine.acd import Acd, face, floor
from engine.audit import audit, runs
from engine.callflow import events as ev
from engine.callflow import plan, steps
from engine.callflow.staff import Agent, Queue, Serves, Staff
from engine.encoding import encode
from tests.replay import days
from tests.replay.days import EPOCH, RandomDay, conductors_day, random_day, traced

Row = dict[str, Any]


@pytest.mark.parametrize("make", [conductors_day, random_day])
def test_every_assignment_of_any_day_keeps_the_rules(make, tmp_path: Path) -> None:
    n_offers = 0
    for seed in range(100):
        (run,) = runs(make(seed, tmp_path / str(seed)))
        assert run.problems == [], seed
        n_offers += run.n_offers
    assert n_offers > 200


@pytest.mark.prove
def test_every_assignment_of_5_000_days_keeps_the_rules(tmp_path: Path) -> None:
    seeds, n_offers = range(10_000, 15_000), 0
    for seed in seeds:
        (run,) = runs(random_day(seed, tmp_path / str(seed)))
        assert run.problems == [], seed
        n_offers += run.n_offers
    print(f"seeds {seeds.start} to {seeds.stop - 1}: {n_offers:,} offers")


def test_who_leaves_has_no_group_that_is_named_later(tmp_path: Path) -> None:
    """A reload takes away the only agent of a group, who talks. A caller whom only that group may serve is told that
    nobody could; another, whom the agent's skills would do for, may wait for whoever comes; a third is not held for
    that agent, but given at once to who is free."""
    staff = Staff(("english",), {"sales": Queue("sales")}, {agent.id: agent for agent in AGENTS}, ("vip",))
    without_amy = replace(staff, agents={name: agent for name, agent in staff.agents.items() if name != "amy"})
    plain = step(1, leave_without_skill=True)
    vips = step(2, leave_without_skill=True, turns=(steps.Turn(("vip",)),))
    her_own = step(3, turns=(steps.Turn(("vip",)), steps.Turn(())), preferred=steps.Preferred("amy", 10.0))
    with traced(tmp_path) as (_, tell, begins_file):
        acd = Acd(staff, plan.PlanBook((plain,), {}, {}), 9, 0.0, tell, 1, begins_file)
        acd.log_in("amy", 1.0)
        acd.ready("amy", 1.0)
        acd.enqueue("talks", plain, 2.0)
        (number,) = [event.offer for _, event in acd.take_events() if isinstance(event, ev.AgentReserved)]
        acd.take(number, 3.0)
        acd.apply(without_amy, plan.PlanBook((plain, vips, her_own), {}, {}), 4.0)
        acd.enqueue("of the group", vips, 5.0)
        acd.enqueue("of anybody", plain, 5.0)
        ended = [(call, event) for call, event in acd.take_events() if isinstance(event, ev.WaitEnded)]
        assert ended == [("of the group", ev.WaitEnded("no_skill"))]
        acd.leave("of anybody", "abandoned", 6.0)
        acd.log_in("bob", 6.0)
        acd.ready("bob", 6.0)
        acd.checkpoint(6.0, 6.0)
        acd.enqueue("hers", her_own, 7.0)
        assert [event.agent for _, event in acd.take_events() if isinstance(event, ev.AgentReserved)] == ["bob"]
        acd.stop(8.0)
    lines = list(days.lines(tmp_path))
    since = next(n for n, line in enumerate(lines) if line.get("acd") == "checkpoint")
    for part in (lines, lines[since:]):
        (run,) = runs(part)
        assert run.problems == []


def test_audit_reads_files_and_folders(tmp_path: Path) -> None:
    random_day(1, tmp_path)
    (file,) = tmp_path.glob("*.jsonl")
    assert audit(tmp_path) == audit(file) == []
    file.write_text(file.read_text().split("\n", 1)[1])
    (problem,) = audit(tmp_path)
    assert "begins in the middle of a run" in problem


# ---- controls: each breaks one rule in a trace that keeps them all


AGENTS = [
    Agent(name, "", "", {"english": level}, (Serves("sales", rank, reserve=name == "dan"),), groups=groups)
    for name, level, rank, groups in (
        ("amy", 90, 1, ("vip",)), ("bob", 20, 1, ()), ("cat", 90, 2, ()), ("dan", 90, 1, ()),
    )
]  # fmt: skip


def step(line: int, **more: Any) -> steps.Queue:
    return steps.Queue(plan.Place("p", line, 1), {}, "sales", max_wait_s=60.0, **more)


STEPS = [
    step(1),
    step(2, needs=((("english", 80),),), relax=(steps.Relax(10.0, ()),)),
    step(3, head_start_s=30.0),
    step(4, turns=(steps.Turn(("vip",)), steps.Turn((), 5.0, 100.0))),
    step(5, turns=(steps.Turn(("vip",)), steps.Turn((), 0.0, 100.0))),
    step(6, preferred=steps.Preferred("amy", 10.0, 30.0)),
    step(7, preferred=steps.Preferred("amy", 0.0, 30.0)),
]


def configured(those: list[steps.Queue] = STEPS, **settings: Any) -> Row:
    queue = Queue("sales", **{"max_length": 2, **settings})
    staff = Staff(("english",), {"sales": queue}, {agent.id: agent for agent in AGENTS}, ("vip",))
    told: Row = encode({"staff": staff, "steps": those})
    return told


def written(*verbs: tuple[float, str, Row, list[Any]], **settings: Any) -> list[Row]:
    """The lines of a run that begins with four agents of one queue, all logged out; the last is a reserve."""
    first: tuple[float, str, Row, list[Any]] = (0.0, "start", configured(**settings), [])
    return [
        {
            "t": t,
            "at": EPOCH.isoformat(),
            "n": n,
            "acd": verb,
            "args": args,
            "out": [[out[0], t, *out[1:]] for out in outs],
        }
        for n, (t, verb, args, outs) in enumerate((first, *verbs), 1)
    ]


def state(agent: str, now: str, call: str | None = None) -> tuple:
    return ("AGENT_STATE", call, agent, now, "")


def offer(number: int, call: str, agent: str) -> list[tuple]:
    return [state(agent, "RESERVED", call), ("OFFER", call, agent, number, 0)]


def ready(t: float, agent: str, *then: tuple) -> tuple:
    return (t, "ready", {"agent": agent}, [state(agent, "READY"), *then])


def comes(t: float, call: str, step: int, *then: tuple, **more: Any) -> tuple:
    return (t, "enqueue", {"call": call, "queue": "sales", "step": f"p:{step}:1", **more}, list(then))


def talks(t: float, agent: str, number: int, call: str) -> tuple[tuple, ...]:
    """The agent becomes ready and gets this call, which came a moment ago."""
    return (
        ready(t, agent, *offer(number, call, agent)), (t, "take", {"offer": number}, [state(agent, "TALKING", call)]),
    )  # fmt: skip


def passes(t: float, *then: tuple) -> tuple:
    return (t, "advance", {}, list(then))


WIDENED = ("CALL_RELAXED", "c1", None, 1, 0)
ON, OFF = ("RESERVE", None, None, "sales", 1), ("RESERVE", None, None, "sales", 0)


GOOD = (
    comes(1.0, "c1", 1), comes(2.0, "c2", 1), ready(3.0, "amy", *offer(1, "c1", "amy")),
    (4.0, "take", {"offer": 1}, [state("amy", "TALKING", "c1")]), ready(5.0, "bob", *offer(2, "c2", "bob")),
    (6.0, "decline", {"offer": 2, "refusal": "busy"},
     [state("bob", "NOT_READY"), ("CALL_REQUEUED", "c2", None, 0, 0)]),
    (7.0, "release", {"call": "c1"}, [state("amy", "READY"), *offer(3, "c2", "amy")]),
    (8.0, "take", {"offer": 3}, [state("amy", "TALKING", "c2")]),
    (9.0, "release", {"call": "c2"}, [state("amy", "READY")]),
)  # fmt: skip

BAD: dict[str, tuple[Any, ...]] = {  # what is said, the lines, settings of the queue
    "a skipped caller": (
        "given to call c2 before call c1",
        (comes(1.0, "c1", 1), comes(2.0, "c2", 1), ready(3.0, "amy", *offer(1, "c2", "amy"))),
    ),
    "a head start that did not count": (
        "given to call c1 before call c2",
        (comes(1.0, "c1", 1), comes(2.0, "c2", 3), ready(3.0, "amy", *offer(1, "c1", "amy"))),
    ),
    "an agent offered twice": (
        "has two offers",
        (comes(1.0, "c1", 1), comes(2.0, "c2", 1), ready(3.0, "amy", *offer(1, "c1", "amy"), *offer(2, "c2", "amy"))),
    ),
    "an agent who is not free": (
        "is LOGGED_OUT and is reserved",
        (comes(1.0, "c1", 1, *offer(1, "c1", "amy")),),
    ),
    "an agent without the skill": (
        "bob may not take call c1",
        (comes(1.0, "c1", 2), ready(3.0, "bob", *offer(1, "c1", "bob"))),
    ),
    "a higher rank passed over": (
        "before agent amy, whose turn it was",
        (ready(1.0, "cat"), ready(1.0, "amy"), comes(2.0, "c1", 1, *offer(1, "c1", "cat"))),
    ),
    "a free agent and a waiting caller": ("is free and call c1 waits", (comes(1.0, "c1", 1), ready(3.0, "amy"))),
    "two agents for one call": (
        "is OFFERED and is offered",
        (ready(1.0, "amy"), ready(1.0, "bob"), comes(2.0, "c1", 1, *offer(1, "c1", "amy"), *offer(2, "c1", "bob"))),
    ),
    "a reservation without an offer": (
        "reserved without an offer",
        (ready(1.0, "amy"), ready(2.0, "amy", state("amy", "RESERVED"))),
    ),
    "a call taken after its offer was over": (
        "names 1, which is none that lives",
        (*GOOD[:4], (4.5, "take", {"offer": 1}, [])),
    ),
    "a longest wait that did not end": ("waits on after its longest wait", (comes(1.0, "c1", 1), comes(70.0, "c2", 1))),
    "a longest wait that ended early": (
        "was not over",
        (comes(1.0, "c1", 1), (2.0, "advance", {}, [("CALL_EXPIRED", "c1", None, 0, 0)])),
    ),
    "a relaxation forgotten": ("without its step 1", (comes(1.0, "c1", 2), comes(12.0, "c2", 1))),
    "a queue full too early": (
        "refused as one too many",
        (
            ready(0.5, "bob"),
            (1.0, "enqueue", {"call": "c1", "queue": "sales", "step": "p:2:1", "refused": "QUEUE_FULL"}, []),
        ),
    ),
    "asked again before somebody untried": (
        "amy may not take call c1",
        (
            ready(0.1, "amy"), ready(0.2, "cat"), comes(1.0, "c1", 1, *offer(1, "c1", "amy")),
            (2.0, "decline", {"offer": 1, "refusal": "busy"},
             [state("amy", "READY"), ("CALL_REQUEUED", "c1", None, 0, 0), *offer(2, "c1", "amy")]),
        ),
    ),
    "an agent left ringing": (
        "is RESERVED with 0 offers and talks",
        (
            ready(0.1, "amy"), comes(1.0, "c1", 1, *offer(1, "c1", "amy")),
            (2.0, "decline", {"offer": 1, "refusal": "busy"}, [("CALL_REQUEUED", "c1", None, 0, 0)]),
        ),
    ),
    "a phone that rings for a caller who has gone": (
        "amy is rung for call c1, which has gone",
        (
            ready(0.1, "amy"), comes(1.0, "c1", 1, *offer(1, "c1", "amy")),
            (2.0, "leave", {"call": "c1", "outcome": "abandoned"}, []),
        ),
    ),
    "an agent of another group": (
        "bob may not take call c1",
        (ready(0.1, "bob"), comes(1.0, "c1", 4, *offer(1, "c1", "bob"))),
    ),
    "an earlier turn passed over": (
        "before agent amy, whose turn it was",
        (ready(0.1, "amy"), ready(0.2, "bob"), comes(1.0, "c1", 5, WIDENED, *offer(1, "c1", "bob"))),
    ),
    "a turn forgotten": ("without its step 1", (comes(1.0, "c1", 4), passes(7.0))),
    "a turn before its time": ("before its time", (comes(1.0, "c1", 4), passes(3.0, WIDENED))),
    "a turn's head start that did not count": (
        "given to call c2 before call c1",
        (comes(1.0, "c2", 1), comes(2.0, "c1", 5, WIDENED), ready(3.0, "bob", *offer(1, "c2", "bob"))),
    ),
    "a preferred agent passed over": (
        "before agent amy, whose turn it was",
        (ready(0.1, "bob"), ready(0.2, "amy"), comes(1.0, "c1", 6, *offer(1, "c1", "bob"), preferred="amy")),
    ),
    "a held call given to another": (
        "bob may not take call c2",
        (
            comes(1.0, "c1", 1), *talks(1.0, "amy", 1, "c1"), comes(2.0, "c2", 6, preferred="amy"),
            ready(3.0, "bob", *offer(2, "c2", "bob")),
        ),
    ),
    "a call held too long": (
        "bob is free and call c2 waits",
        (
            comes(1.0, "c1", 1), *talks(1.0, "amy", 1, "c1"), comes(2.0, "c2", 6, preferred="amy"), ready(3.0, "bob"),
            passes(13.0),
        ),
    ),
    "a call held for an agent who has gone": (
        "bob is free and call c2 waits",
        (
            comes(1.0, "c1", 1), *talks(1.0, "amy", 1, "c1"), comes(2.0, "c2", 6, preferred="amy"), ready(3.0, "bob"),
            (4.0, "release", {"call": "c1"}, [state("amy", "LOGGED_OUT")]),
        ),
    ),
    "a head start for the agent who is not there": (
        "given to call c1 before call c2",
        (comes(1.0, "c1", 1), comes(2.0, "c2", 7, preferred="amy"), ready(3.0, "bob", *offer(1, "c1", "bob"))),
    ),
    "more phones than the queue rings": (
        "is OFFERED and is offered",
        (
            ready(0.1, "amy"), ready(0.1, "bob"), ready(0.1, "cat"),
            comes(1.0, "c1", 1, *offer(1, "c1", "amy"), *offer(2, "c1", "bob"), *offer(3, "c1", "cat")),
        ),
        {"n_ring": 2},
    ),
    "fewer phones than the queue rings": (
        "rings at 1 phones and not at that of agent bob",
        (ready(0.1, "amy"), ready(0.1, "bob"), comes(1.0, "c1", 1, *offer(1, "c1", "amy"))),
        {"n_ring": 2},
    ),
    "a second phone rung later": (
        "is OFFERED and is offered",
        (ready(0.1, "amy"), comes(1.0, "c1", 1, *offer(1, "c1", "amy")), ready(2.0, "bob", *offer(2, "c1", "bob"))),
        {"n_ring": 0},
    ),
    "a phone that rings on after another was answered": (
        "bob is rung for call c1, which has gone",
        (
            ready(0.1, "amy"), ready(0.1, "bob"), comes(1.0, "c1", 1, *offer(1, "c1", "amy"), *offer(2, "c1", "bob")),
            (2.0, "take", {"offer": 1}, [state("amy", "TALKING", "c1")]),
        ),
        {"n_ring": 2},
    ),
    "a reserve who serves without need": (
        "dan may not take call c1",
        (ready(0.1, "dan"), comes(1.0, "c1", 1, *offer(1, "c1", "dan"))),
    ),
    "reserves turned on without need": (
        "turned on without need",
        (ready(0.1, "dan"), comes(1.0, "c1", 1), passes(3.0, ON, *offer(1, "c1", "dan"))),
        {"reserve_on_s": 5.0},
    ),
    "reserves forgotten": (
        "queue sales needs its reserves",
        (ready(0.1, "dan"), comes(1.0, "c1", 1), passes(6.0)),
        {"reserve_on_s": 5.0},
    ),
    "reserves turned off in need": (
        "turned off in need",
        (comes(1.0, "c1", 1), passes(6.0, ON), passes(7.0, OFF)),
        {"reserve_on_s": 5.0},
    ),
    "a place that was not kept": (
        "given to call c1 before call c2",
        (comes(5.0, "c1", 1), comes(6.0, "c2", 1, arrival=1.0), ready(7.0, "amy", *offer(1, "c1", "amy"))),
    ),
    "refused for skills that somebody has": (
        "nobody had the skills, and somebody had",
        (
            ready(0.1, "bob"), comes(0.5, "c0", 1, *offer(1, "c0", "bob")), comes(1.0, "c1", 2, refused="NO_SKILL"),
        ),
    ),
    "refused for a wait that nobody limits": (
        "which its queue does not limit",
        (comes(1.0, "c1", 1, refused="WAIT_TOO_LONG"),),
    ),
    "a reload that did not reach who waits": (
        "bob is free and call c1 waits",
        (
            ready(0.1, "bob"), comes(1.0, "c1", 2),
            (2.0, "apply", {**configured([step(2, relax=(steps.Relax(0.5, ()),))]), "moved": {"p:2:1": "p:2:1"}}, []),
        ),
    ),
    "an agent who is free before the phone is": (
        "amy is free before the phone is cleared",
        (
            ready(0.1, "amy"), comes(1.0, "c1", 1, *offer(1, "c1", "amy")),
            (2.0, "leave", {"call": "c1", "outcome": "abandoned"},
             [("OFFER_CANCELLED", "c1", "amy", 1, 1), state("amy", "READY")]),
        ),
    ),
    "an agent held after the phone was cleared": (
        "is RESERVED with 0 offers and talks",
        (
            ready(0.1, "amy"), comes(1.0, "c1", 1, *offer(1, "c1", "amy")),
            (2.0, "leave", {"call": "c1", "outcome": "abandoned"}, [("OFFER_CANCELLED", "c1", "amy", 1, 1)]),
            (2.5, "cleared", {"offer": 1}, []),
        ),
    ),
    "an agent held for longer than a phone may take": (
        "is RESERVED with 0 offers and talks",
        (
            ready(0.1, "amy"), comes(1.0, "c1", 1, *offer(1, "c1", "amy")),
            (2.0, "leave", {"call": "c1", "outcome": "abandoned"}, [("OFFER_CANCELLED", "c1", "amy", 1, 1)]),
            passes(4.0),
        ),
    ),
    "a phone rung before it is cleared": (
        "is offered call c2 and was not free",
        (
            ready(0.1, "amy"), comes(1.0, "c1", 1, *offer(1, "c1", "amy")), comes(1.0, "c2", 1),
            (2.0, "leave", {"call": "c1", "outcome": "abandoned"},
             [("OFFER_CANCELLED", "c1", "amy", 1, 1), ("OFFER", "c2", "amy", 2, 0)]),
        ),
    ),
    "a lost line": ("lines 3 to 3 are missing", None),
}  # fmt: skip


def test_the_day_that_is_broken_below_is_a_good_one() -> None:
    (run,) = runs(written(*GOOD))
    assert run.problems == [] and run.n_offers == 3


@pytest.mark.parametrize("what", BAD)
def test_control_a_broken_rule_is_found(what: str) -> None:
    said, verbs, *settings = BAD[what]
    rows = [row for row in written(*GOOD) if row["n"] != 3]
    if verbs:
        rows = written(*verbs, **(settings[0] if settings else {}))
    (run,) = runs(rows)
    assert any(said in problem for problem in run.problems), run.problems


def test_control_swapped_offers_of_real_days_are_found(tmp_path: Path) -> None:
    """The agents of two offers change places, throughout the trace."""
    n_found = n_tampered = 0
    for seed in range(40):
        rows = random_day(seed, tmp_path / str(seed))
        offers = [out for row in rows for out in row["out"] if out[0] == "OFFER"]
        others = [(one, two) for one, two in zip(offers, offers[1:], strict=False) if one[3] != two[3]]
        if others:
            one, two = others[len(others) // 2]
            one[3], two[3] = two[3], one[3]
            n_tampered += 1
            n_found += any(run.problems for run in runs(json.loads(json.dumps(rows))))
    assert n_found == n_tampered > 20


@pytest.mark.parametrize(
    "law", ["reservation", "order", "kept place", "conservation", "work conservation", "decline memory", "clear phone"]
)
def test_control_a_core_without_the_law_is_found(
    law: str, checked: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traces of the real core with one law left out; what the broken core raises by itself does not count."""
    for user in (face, floor, days):
        monkeypatch.setattr(user, "acd_core", checked)
    for seed in range(40):
        _play_lawless(checked, law, seed, tmp_path / str(seed))
    assert sum(bool(audit(folder)) for folder in tmp_path.iterdir()) > 4


def _play_lawless(checked: ModuleType, law: str, seed: int, folder: Path) -> None:
    """In a process of its own: a core without a law may also never come back."""
    child = os.fork()
    if child == 0:
        faulthandler.disable()  # the checked core may end at an index out of bounds; nobody wants to read where
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(3)
        checked.break_law(law)
        with suppress(Exception):
            RandomDay(seed, folder, n_calls=2000)  # so large that the core does not check itself
        os._exit(0)
    os.waitpid(child, 0)


def test_control_counters_that_disagree_are_found(tmp_path: Path) -> None:
    rows = random_day(2, tmp_path)
    rows[-1]["args"]["queues"][0]["abandoned"] += 1
    (run,) = runs(rows)
    assert any("queue sales counts" in problem for problem in run.problems)


def test_an_empty_trace_has_nothing_wrong(tmp_path: Path) -> None:
    with traced(tmp_path):
        pass
    assert audit(tmp_path) == []


def test_control_a_checkpoint_that_disagrees_with_the_lines_before_it_is_found(tmp_path: Path) -> None:
    n_tampered = 0
    for seed in range(20):
        rows = random_day(seed, tmp_path / str(seed), pace=5000.0)
        for row in rows:
            waiting = [call for call in row["args"].get("calls", ()) if call["state"] == "WAITING"]
            if row["acd"] == "checkpoint" and waiting:
                waiting[0]["arrival"] -= 1.0
                (run,) = runs(rows)
                assert any("stands as" in problem for problem in run.problems), seed
                n_tampered += 1
                break
    assert n_tampered > 5
