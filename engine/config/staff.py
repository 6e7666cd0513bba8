"""staff.yaml -> Staff: skills, queues, agents, and whether somebody holds what is asked for.

Counterpart: engine/callflow/staff.py, which has the types and the defaults.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from math import inf
from pathlib import Path
from typing import Any

from engine.callflow.ladder import MOST_TERMS, both
from engine.callflow.settings import SRTP, SoundFiles, Trunk
from engine.callflow.staff import REGISTERED, Agent, Policy, Queue, Serves, Staff, able, meets
from engine.callflow.steps import Needs, needs_text
from engine.config import scalars
from engine.config.items import read_announces, read_music
from engine.config.needs import known, read_levels, read_needs
from engine.config.promises import check_names, read_promises
from engine.config.values import ALWAYS, QUEUED, WAITING
from engine.config.yaml_nodes import Report, Section, Value, guess, read_yaml

STRATEGIES = (
    "longest idle",
    "least occupied",
    "fewest calls",
    "round robin",
    "most skilled",
    "least skilled",
    "linear",
    "random",
    "weighted",
)
_MOST_NAMES = 256
_MOST_WAITS = 30  # different `from`s of one queue; near the core's limit
_MOST_SKILLS = 15  # of one AND: the core's limit, less one for groups
_POLICY = re.compile(r"(ready|not ready|pause (\d{1,6})s)(?: after (\d{1,3}) in a row)?", re.ASCII)


def read_staff(
    path: Path,
    sounds: SoundFiles | None,
    report: Report,
    trunks: Collection[Trunk] | None = None,
    ringing_within_s: float = 0.0,
) -> Staff | None:
    """None if the file cannot be read at all. `trunks`: those of switch.yaml; None where it could not be read."""
    value = read_yaml(path, report, "no queue and no agent is described")
    if value is None:
        return None
    with value.section() as top:
        skills = _names(top.get("skills"), "skill")
        groups = _names(top.get("groups"), "group")
        queues: dict[str, Queue] = {}
        asked: dict[str, Value] = {}
        for key, item in listed.pairs() if (listed := top.need("queues")) else ():
            queue = _queue(key, item, skills, sounds, trunks, ringing_within_s)
            queues[queue.name] = queue
            asked[queue.name] = key
        agents: dict[str, Agent] = {}
        phones: dict[str, str] = {}
        for key, item in listed.pairs() if (listed := top.need("agents")) else ():
            agent = _agent(key, item, skills, groups, queues)
            agents[agent.id] = agent
            if agent.phone and phones.setdefault(agent.phone, agent.id) != agent.id:
                key.complain(f"agent {agent.id} has the phone of agent {phones[agent.phone]}, {agent.phone}")
    staff = Staff(skills, queues, agents, groups)
    _check_waits(staff, asked)
    served = {serves.queue for agent in agents.values() for serves in agent.queues}
    for name, key in asked.items():
        if name not in served:
            key.complain(f'nobody serves queue "{name}"')
        else:
            check_held(key, staff, name, ())
    return staff


def _ring_for(value: Value, ringing_within_s: float) -> float:
    """Long enough to tell a phone that is not there from one that nobody answers."""
    n_told = len(value.report.found)
    ring_for_s = scalars.duration(value, 1.0, 180.0)
    if ring_for_s <= ringing_within_s and len(value.report.found) == n_told:
        value.complain(
            f"ring for {ring_for_s:g}s ends before a phone that is not there is known to be so: "
            f"ring longer, or make `ringing within` of switch.yaml ({ringing_within_s:g}s) shorter"
        )
    return ring_for_s


def _names(value: Value | None, what: str) -> tuple[str, ...]:
    """The skills or groups there are."""
    names: list[str] = []
    for item in value.items() if value else ():
        name = scalars.name(item)
        if name in names:
            item.complain(f'{what} "{name}" stands here already')
        names.append(name)
    if value and len(names) > _MOST_NAMES:
        value.complain(f"{len(names)} {what}s; {_MOST_NAMES} at most")
    return tuple(names)


def _queue(
    key: Value,
    value: Value,
    skills: tuple[str, ...],
    sounds: SoundFiles | None,
    trunks: Collection[Trunk] | None,
    ringing_within_s: float,
) -> Queue:
    read: dict[str, Any] = {}
    with value.section() as queue:
        if item := queue.get("strategy"):
            read["strategy"] = scalars.one_of(item, STRATEGIES).replace(" ", "_")
        if item := queue.get("needs"):
            read["needs"] = read_needs(item, skills)
        if item := queue.get("ring for"):
            read["ring_for_s"] = _ring_for(item, ringing_within_s)
        if item := queue.get("wrap up"):
            read["wrap_up_s"] = scalars.duration(item)
        if item := queue.get("ring at once"):
            read["n_ring"] = _ring_at_once(item)
        if item := queue.get("max length"):
            read["max_length"] = scalars.count(item, 1, 100_000)
        if item := queue.get("max expected wait"):
            read["max_ewt_s"] = scalars.duration(item, 1.0)
        if item := queue.get("service level"):
            read["sl_percent"], read["sl_within_s"] = scalars.service_level(item)
        if item := queue.get("reserves"):
            read |= _reserves(item)
        if item := queue.get("music"):
            read["music"] = read_music(item, sounds)
        if item := queue.get("announce"):
            read["announces"], named = read_announces(item, sounds, ())
            check_names(named, {*ALWAYS, *QUEUED, *WAITING})
        read |= read_promises(queue, sounds, trunks)
        _policies(queue, read)
    return Queue(scalars.name(key), **read)


def _ring_at_once(value: Value) -> int:
    """So many phones, or `all` of who is free, which is 0."""
    if value.is_scalar and value.node.value.strip() == "all":
        return 0
    return scalars.count(value, 1, 100, instead=1)


def _reserves(value: Value) -> dict[str, float]:
    """`{from wait: 30s, until wait: 10s, from service level: 70%, until service level: 85%}`: when agents whose place
    in the queue is `reserve: yes` serve it. One of the first pair, or of the second, at least."""
    with value.section() as section:
        wait, level = section.get("from wait"), section.get("from service level")
        until_wait, until_level = section.get("until wait"), section.get("until service level")
    read: dict[str, float] = {}
    if wait:
        read["reserve_on_s"] = read["reserve_off_s"] = scalars.duration(wait)
    if level:
        read["reserve_on_sl"] = read["reserve_off_sl"] = scalars.percent(level)
    if not wait and not level:
        value.complain("reserves needs `from wait`, `from service level` or both")
    if until_wait:
        read["reserve_off_s"] = scalars.duration(until_wait)
        if wait is None or read["reserve_off_s"] > read["reserve_on_s"]:
            until_wait.complain("until wait goes with a `from wait` that is not shorter")
            read.pop("reserve_off_s")
    if until_level:
        read["reserve_off_sl"] = scalars.percent(until_level)
        if level is None or read["reserve_off_sl"] < read["reserve_on_sl"]:
            until_level.complain("until service level goes with a `from service level` that is not higher")
    return read


def _policies(queue: Section, read: dict[str, Any]) -> None:
    for failure in ("on no answer", "on rejected", "on busy", "on unreachable"):
        if item := queue.get(failure):
            read[failure.replace(" ", "_")] = _policy(item)


def _policy(value: Value) -> Policy:
    """`ready`, `not ready`, `pause 10s`, each with `after 3 in a row` if wanted."""
    text = value.text()
    found = _POLICY.fullmatch(text)
    if not found or found[3] == "0":
        if text:
            value.complain(f"{value.label}: {text!r} must be ready, not ready or pause 10s, or such after 3 in a row")
        return Policy("ready")
    then = found[1].split()[0] if found[2] else found[1].replace(" ", "_")
    return Policy(then, float(found[2] or 0), int(found[3] or 1))


def _agent(
    key: Value, value: Value, skills: tuple[str, ...], groups: tuple[str, ...], queues: Mapping[str, Queue]
) -> Agent:
    with value.section() as agent:
        name, phone, at_start = agent.get("name"), agent.need("phone"), agent.get("at start")
        levels, served, member = agent.get("skills"), agent.need("queues"), agent.get("groups")
        wrap_up, srtp = agent.get("wrap up"), agent.get("srtp")
        ident = scalars.name(key)
        text = name.text() if name else ident
        if name and not text.isprintable():
            name.complain("name has characters that cannot be printed")
        return Agent(
            id=ident,
            name=text,
            phone=_phone(phone, ident) if phone else "",
            skills=read_levels(levels, skills, instead=100) if levels else {},
            queues=_serves(served, queues) if served else (),
            at_start=_at_start(at_start) if at_start else "logged_out",
            groups=tuple(known(item, groups, "group", "staff.yaml") for item in member.items()) if member else (),
            wrap_up_s=scalars.duration(wrap_up) if wrap_up else None,
            srtp=scalars.one_of(srtp, SRTP) if srtp else "",
        )


def _phone(value: Value, agent: str) -> str:
    """`registered`, or the SIP address of a phone that is always there."""
    if value.is_scalar and value.node.value.strip() == "registered":
        return REGISTERED + agent
    if value.is_scalar and ":" not in value.node.value and (near := guess(value.text(), ("registered",))):
        value.complain(f"phone: {value.text()!r} is neither `registered` nor a SIP address{near}")
        return ""
    return scalars.sip_uri(value)


def _at_start(value: Value) -> str:
    return scalars.one_of(value, ("logged out", "not ready", "ready")).replace(" ", "_")


def _serves(value: Value, queues: Mapping[str, Queue]) -> tuple[Serves, ...]:
    """`sales`, or a list of names and `support: {rank: 2, from: 30s, weight: 3, reserve: yes}`."""
    found: dict[str, Serves] = {}
    for item in value.items():
        for key, place in item.pairs() if item.is_mapping else ((item, None),):
            queue = known(key, queues, "queue", "staff.yaml")
            if queue in found:
                key.complain(f'queue "{queue}" stands here already')
            read: dict[str, Any] = {}
            if place is not None:
                with place.section() as section:
                    if given := section.get("rank"):
                        read["rank"] = scalars.count(given, 1, 255)
                    if given := section.get("from"):
                        read["from_s"] = scalars.duration(given)
                    if given := section.get("weight"):
                        read["weight"] = _weight(given, queues.get(queue))
                    if given := section.get("reserve"):
                        read["reserve"] = _is_reserve(given, queues.get(queue))
            found[queue] = Serves(queue, **read)
    return tuple(found.values())


def _weight(value: Value, queue: Queue | None) -> int:
    if queue and queue.strategy != "weighted":
        value.complain(f'weight says nothing here: queue "{queue.name}" has no strategy weighted')
    return scalars.count(value, 1, 1000)


def _is_reserve(value: Value, queue: Queue | None) -> bool:
    reserve = scalars.yes_no(value)
    if reserve and queue and queue.reserve_on_s == inf and queue.reserve_on_sl == 0:
        value.complain(f'this agent would never serve: queue "{queue.name}" does not say when its `reserves` do')
    return reserve


def _check_waits(staff: Staff, asked: Mapping[str, Value]) -> None:
    for name, key in asked.items():
        waits = {one.from_s for agent in staff.agents.values() for one in agent.queues if one.queue == name} - {0.0}
        if len(waits) > _MOST_WAITS:
            key.complain(f'agents serve queue "{name}" from {len(waits)} different waits on; {_MOST_WAITS} at most')


def check_held(value: Value, staff: Staff, queue: str, needs: Needs) -> None:
    """Complain about every alternative of the needs that nobody who serves the queue can meet."""
    serving = [agent for agent in staff.agents.values() if any(serves.queue == queue for serves in agent.queues)]
    if not serving:
        return
    asked = both(staff.queues[queue].needs, needs)
    if len(asked) > MOST_TERMS or any(len(term) > _MOST_SKILLS for term in asked):
        limit = f"at most {MOST_TERMS} of {_MOST_SKILLS} skills each"
        value.complain(f'{len(asked)} alternatives together with what queue "{queue}" asks for; {limit}')
    for term in needs or staff.queues[queue].needs:
        if any(skill not in staff.skills for skill, _ in term):
            continue
        missing = [need for need in term if not any(meets(agent.skills, ((need,),)) for agent in serving)]
        for skill, level in missing:
            value.complain(f'nobody who serves queue "{queue}" has {skill} {level}{_best(serving, skill)}')
        if not missing and not able(staff, queue, (term,)):
            also = needs_text(staff.queues[queue].needs if needs else ())
            besides = f" together with {also}, which the queue asks for" if also != needs_text(()) else ""
            value.complain(f'nobody who serves queue "{queue}" has {needs_text((term,))}{besides}')


def _best(serving: Iterable[Agent], skill: str) -> str:
    level, agent = max((agent.skills.get(skill, 0), agent.id) for agent in serving)
    return f" (the best is agent {agent} with {level})" if level else ""
