"""The queue step, which has more settings than all others together. Counterparts: steps.py, which knows every step by
its word; engine/callflow/steps.py, the type; staff.py and promises.py, which read what a queue has for all its steps.
"""

from collections.abc import Mapping
from typing import Any

from engine.callflow.ladder import MOST_RUNGS
from engine.callflow.staff import Queue as Configured
from engine.callflow.steps import Announce, Item, Preferred, Queue, Relax, Turn
from engine.config import scalars
from engine.config.drafts import Draft, Here, Use
from engine.config.items import read_announces, read_music
from engine.config.needs import known, read_needs
from engine.config.staff import check_held
from engine.config.values import QUEUED, TALKING, WAITED_IN, WAITING
from engine.config.yaml_nodes import Value

EVERYBODY = "everybody"
_LAST_ORDER = "last order agent"
_ENDS = ("timeout", "full", "no_agents", "no_skill", "too_long")
_KEYS = tuple("1234567890*#")


def queue(here: Here) -> Draft:
    """`queue: QUEUE` of staff.yaml, and everything about the wait."""
    name, staff, place = here.main("queue"), here.names.staff, here.place
    queue = known(name, here.names.queues, "queue", "staff.yaml")
    configured = staff.queues.get(queue) if staff else None
    read: dict[str, Any] = {"language": here.language()}
    _read_order(here, queue, read)
    _read_sounds(here, read, configured)
    branches = {result: here.branch("on " + result.replace("_", " ")) for result in _ENDS}
    keys = here.get("keys")
    read_keys = {_key(key): here.steps(value) for key, value in keys.pairs()} if keys else {}
    after_talk = here.branch("after talk")
    _check_ends(here, queue, branches, read.get("max_wait_s"), configured)
    possible = {result for result, branch in branches.items() if branch is not None}
    possible |= {"timeout"} if read.get("max_wait_s") is not None else set()
    possible |= {"full"} if configured is None or configured.max_length is not None else set()
    possible |= {"too_long"} if configured is not None and configured.max_ewt_s is not None else set()
    if branches["no_agents"] is not None:
        here.names.left.add(queue)
    if branches["no_skill"] is not None:
        here.names.skillless.add(queue)
    timeout = branches["timeout"] or []
    ways: dict[str, list[Draft]] = {result: branch or [] for result, branch in branches.items()}
    ways["full"] = timeout if branches["full"] is None else branches["full"]
    ways["too_long"] = timeout if branches["too_long"] is None else branches["too_long"]
    ways |= read_keys
    if after_talk is not None:
        ways["served"] = after_talk
    names = here.names
    draft = here.draft(
        lambda drawn: Queue(
            place,
            drawn,
            queue,
            leave_without_agents=queue in names.left,
            leave_without_skill=queue in names.skillless,
            keys=tuple(read_keys),
            **read,
        ),
        ways,
        {result: frozenset((*QUEUED, WAITED_IN + queue, *(TALKING if result == "served" else ()))) for result in ways},
        possible | set(read_keys) | ({"served"} if after_talk is not None else set()),
    )
    draft.queue = queue
    return draft


def _key(key: Value) -> str:
    return scalars.one_of(key, _KEYS, "an exit key")


# ---- who takes the call, and when


def _read_order(here: Here, queue: str, read: dict[str, Any]) -> None:
    needs, head, longest = here.get("needs"), here.get("head start"), here.get("max wait")
    relax, turns, first, keep = (here.get(key) for key in ("relax", "groups in turn", "first", "keep place"))
    read["needs"] = read_needs(needs, here.names.skills) if needs else ()
    read["head_start_s"] = scalars.head_start(head) if head else 0.0
    read["max_wait_s"] = scalars.duration(longest) if longest else None
    if here.names.staff and needs and queue in here.names.staff.queues:
        check_held(needs, here.names.staff, queue, read["needs"])
    if turns:
        read["turns"] = _turns(turns, here, queue, read["head_start_s"])
    if relax:
        read["relax"] = _relax(relax, here, queue, read["head_start_s"], read["max_wait_s"])
    n_changes = len(read.get("relax", ())) + max(len(read.get("turns", ())) - 1, 0)
    if n_changes >= MOST_RUNGS and (culprit := relax or turns):
        culprit.complain(f"{n_changes} changes while the call waits; {MOST_RUNGS - 1} at most")
    if first:
        read["preferred"] = _preferred(first, here)
    if keep:
        read["keep_place"] = scalars.yes_no(keep)


def _relax(value: Value, here: Here, queue: str, head_start_s: float, max_wait_s: float | None) -> tuple[Relax, ...]:
    """Rising times; a head start only grows, because a call never moves back."""
    found: list[Relax] = []
    staff = here.names.staff
    for item in value.items():
        with item.section() as section:
            after, asked, head = section.need("after"), section.get("needs"), section.get("head start")
            if asked is None and head is None:
                item.complain("relax needs `needs`, `head start` or both")
            relax = Relax(
                scalars.duration(after) if after else 0.0,
                read_needs(asked, here.names.skills) if asked else None,
                scalars.head_start(head) if head else None,
            )
        if after and found and relax.after_s <= found[-1].after_s:
            after.complain("relax steps must stand in rising order of `after`")
        if after and max_wait_s is not None and relax.after_s >= max_wait_s:
            after.complain(f"this never comes: the call waits for {max_wait_s:g}s at most")
        if head and relax.head_start_s is not None:
            head_start_s = _larger(head, relax.head_start_s, head_start_s)
        if asked and relax.needs and staff and queue in staff.queues:
            check_held(asked, staff, queue, relax.needs)
        found.append(relax)
    return tuple(found)


def _turns(value: Value, here: Here, queue: str, head_start_s: float) -> tuple[Turn, ...]:
    """`[vip, everybody]`, or with `{group: vip, after: 10s, head start: 5m}`; each widens who may take the call."""
    found: list[Turn] = []
    for item in value.items():
        turn, head = _turn(item, here, queue), None
        if item.is_mapping:
            pairs = item.section().pairs
            head = pairs["head start"][1] if "head start" in pairs else None
        if found and found[-1].groups == ():
            item.complain(f"nobody is left: {EVERYBODY} stands before this")
        if not found and turn.after_s:
            item.complain("the first turn is at once: `after` goes with a later one")
        if found and turn.after_s < found[-1].after_s:
            item.complain("turns must stand in rising order of `after`")
        if head is not None and turn.head_start_s is not None:
            head_start_s = _larger(head, turn.head_start_s, head_start_s)
        found.append(turn)
    if value.is_list and len(found) == 1 and found[0].groups == ():
        value.complain(f"{EVERYBODY} alone is what holds without `groups in turn`")
    return tuple(found)


def _turn(item: Value, here: Here, queue: str) -> Turn:
    if not item.is_mapping:
        return Turn(_groups(item, here, queue))
    with item.section() as section:
        group, after, head = section.need("group"), section.get("after"), section.get("head start")
        return Turn(
            _groups(group, here, queue) if group else (),
            scalars.duration(after) if after else 0.0,
            scalars.head_start(head) if head else None,
        )


def _groups(value: Value, here: Here, queue: str) -> tuple[str, ...]:
    """Names of groups; `everybody` is the empty tuple."""
    staff = here.names.staff
    groups: list[str] = []
    for item in value.items():
        if item.text() == EVERYBODY:
            return ()
        group = known(item, None if staff is None else [*staff.groups, EVERYBODY], "group", "staff.yaml")
        if staff and group in staff.groups and queue in staff.queues:
            serving = [agent for agent in staff.agents.values() if any(one.queue == queue for one in agent.queues)]
            if not any(group in agent.groups for agent in serving):
                item.complain(f'nobody of group "{group}" serves queue "{queue}"')
        groups.append(group)
    return tuple(groups)


def _larger(head: Value, head_start_s: float, before_s: float) -> float:
    if head_start_s <= before_s:
        head.complain("a later head start must be larger than the one before: a call never moves back")
    return max(head_start_s, before_s)


def _preferred(value: Value, here: Here) -> Preferred:
    """`first: 1001`, `last order agent`, `$name`, or `{agent: ..., wait: 10s, head start if busy: 5m}`."""
    if not value.is_mapping:
        return Preferred(_agent(value, here))
    with value.section() as section:
        agent, wait, head = section.need("agent"), section.get("wait"), section.get("head start if busy")
        return Preferred(
            _agent(agent, here) if agent else "",
            scalars.duration(wait) if wait else 0.0,
            scalars.head_start(head) if head else 0.0,
        )


def _agent(value: Value, here: Here) -> str:
    if value.is_scalar and value.text() == _LAST_ORDER:
        here.use(value, "customer.agent")
        return "$customer.agent"
    text = here.text(value)
    if not text.startswith("$") and here.names.staff:
        known(value, here.names.staff.agents, "agent", "staff.yaml")
    return text


# ---- what is heard meanwhile


def _read_sounds(here: Here, read: dict[str, Any], configured: Configured | None) -> None:
    """What the step does not say, staff.yaml may say for the queue."""
    language, name = read["language"], here.main("queue")
    given = {key: here.get(key) for key in ("music", "announce", "whisper", "greeting")}
    if given["music"]:
        read["music"] = read_music(given["music"], here.names.sounds)
    if given["announce"]:
        read["announces"], named = read_announces(given["announce"], here.names.sounds, [language])
        here.uses += [Use(place, used, frozenset((*QUEUED, *WAITING))) for place, used in named]
    for key in ("whisper", "greeting"):
        if value := given[key]:
            read[key] = here.items(value, language, (*QUEUED, *TALKING))
    if configured is None:
        return
    read.setdefault("music", configured.music)
    for key, heard in _heard_by_default(configured).items():
        if not given[key.removesuffix("s")]:
            read[key] = heard
            _check_spoken(name, heard, here, language)


def _heard_by_default(configured: Configured) -> Mapping[str, Any]:
    return {"announces": configured.announces, "whisper": configured.whisper, "greeting": configured.greeting}


def _check_spoken(place: Value, heard: tuple[Announce | Item, ...], here: Here, language: str) -> None:
    sounds = here.names.sounds
    for one in heard:
        for prompt in one.items if isinstance(one, Announce) else (one,):
            if isinstance(prompt, str) and sounds and language not in sounds.prompts.get(prompt, {language}):
                place.complain(f'prompt "{prompt}" of this queue in staff.yaml has no words in language "{language}"')


# ---- how it ends


def _check_ends(
    here: Here,
    queue: str,
    branches: Mapping[str, list[Draft] | None],
    max_wait_s: float | None,
    configured: Configured | None,
) -> None:
    limits = {"full": "max length", "too_long": "max expected wait"}
    if branches["timeout"] is not None and max_wait_s is None:
        here.step.pairs["on timeout"][0].complain("no call comes here: this step has no max wait")
    for result, limit in limits.items():
        if branches[result] is not None and configured is not None and _limit(configured, result) is None:
            key = here.step.pairs["on " + result.replace("_", " ")][0]
            key.complain(f'no call comes here: queue "{queue}" has no {limit}')


def _limit(configured: Configured, result: str) -> float | None:
    return configured.max_length if result == "full" else configured.max_ewt_s
