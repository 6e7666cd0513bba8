"""One step of a plan: YAML -> Draft. This file says which steps there are, which keys each takes, and what the keys
mean.

A step is a list item: a bare word (`- answer`) or a mapping whose first key is the step (`- queue: sales`), further
keys being its settings and its branches. A branch is a list of steps under `on timeout`, `then` and so on.
Counterpart: plan.py, the types.
"""

from collections.abc import Callable, Mapping

from engine.callflow.conditions import CallerListed, Hours, NumberList, WithinHours
from engine.callflow.plan import Step
from engine.callflow.steps import CAUSES, Announce, Answer, HangUp, Item, Play, Queue, Relax, Transfer
from engine.config import scalars
from engine.config.drafts import HOLE, Draft, Names
from engine.config.needs import known, read_announce, read_music, read_needs, read_prompts
from engine.config.staff import check_held
from engine.config.yaml_nodes import Section, Value, guess

_MOST_RELAXATIONS = 7  # the core's limit
_RING_FOR_S = 30.0


def read_steps(value: Value, names: Names, language: str) -> list[Draft]:
    """The steps of a plan or branch, in order."""
    if value.is_empty or (value.is_list and not value.node.value):
        value.complain(f"{value.label} has no steps")
        names.holes.append(value)
        return []
    return [_read_step(item, names, language) for item in value.items()]


def _read_step(value: Value, names: Names, language: str) -> Draft:
    pairs = value.section().pairs if value.is_mapping else {}
    if value.is_scalar and value.node.value in _BARE:
        pairs = {value.node.value: (value, value)}
    verbs = [key for key in pairs if key in _READERS]
    if len(verbs) != 1:
        value.complain(_no_step(value, list(pairs), verbs))
        return _hole(value, names)
    with Section(Value(value.node, value.file, value.report, f"step {verbs[0]!r}"), pairs) as step:
        return _READERS[verbs[0]](step, names, language)


def _no_step(value: Value, keys: list[str], verbs: list[str]) -> str:
    if verbs:
        return f"two steps in one, {' and '.join(verbs)}: give each its own dash"
    if value.is_list:
        return "a step is a word or a mapping, not a list"
    word = value.node.value if value.is_scalar else next(iter(keys), "")
    if word in _READERS:
        return f"step {word!r} needs a value"
    return f"no step is called {word!r}{guess(word, _READERS)}"


def _hole(value: Value, names: Names) -> Draft:
    names.holes.append(value)
    return Draft(value, lambda ways: HangUp(value.place, ways), {}, frozenset(), goes_to=HOLE)


# ---- the steps, one function each


def _answer(step: Section, names: Names, language: str) -> Draft:
    word = step.get("answer")
    if step.value.is_mapping and word is not None and not word.is_empty:
        word.complain("answer takes no value: write `- answer`")
    place = step.value.place
    return _draft(step, lambda ways: Answer(place, ways), {"done": []})


def _play(step: Section, names: Names, language: str) -> Draft:
    language = _language(step, names, language)
    prompts, place = read_prompts(_main(step, "play"), names.sounds, [language]), step.value.place
    return _draft(step, lambda ways: Play(place, ways, prompts, language), {"done": []})


def _when(step: Section, names: Names, language: str) -> Draft:
    place, condition = step.value.place, _main(step, "when")
    then, other = _branch(step, "then", names, language), _branch(step, "else", names, language)
    if then is None and other is None:
        step.value.complain("when needs `then`, `else` or both")
    ways = {"yes": then or [], "no": other or []}
    with condition.section() as asked:
        given = [value for name in ("caller on", "open", "closed") if (value := asked.get(name))]
        if len(given) > 1:
            condition.complain("one condition a step: put a second `when` under `then`")
        if not given and not condition.is_empty:
            condition.complain("when asks `caller on: LIST`, `open: HOURS` or `closed: HOURS`")
    if len(given) != 1:
        return _hole(step.value, names)
    value = given[0]
    if value.label == "caller on":
        numbers = names.lists.get(known(value, names.lists, "list", "plans/"), NumberList("", frozenset()))
        return _draft(step, lambda drawn: CallerListed(place, drawn, numbers), ways)
    hours = names.hours.get(known(value, names.hours, "hours", "plans/"), Hours("", ((),) * 7, {}))
    if value.label == "closed":
        ways = {"yes": ways["no"], "no": ways["yes"]}
    return _draft(step, lambda drawn: WithinHours(place, drawn, hours), ways)


def _queue(step: Section, names: Names, language: str) -> Draft:
    name, staff = _main(step, "queue"), names.staff
    queue = known(name, names.queues, "queue", "staff.yaml")
    configured = staff.queues.get(queue) if staff else None
    place, spoken = step.value.place, _language(step, names, language)
    given = {key: step.get(key) for key in ("needs", "head start", "max wait", "relax", "music", "announce")}
    needs = read_needs(given["needs"], names.skills) if given["needs"] else ()
    head_start_s = scalars.head_start(given["head start"]) if given["head start"] else 0.0
    max_wait_s = scalars.duration(given["max wait"]) if given["max wait"] else None
    relax = _relax(given["relax"], names, queue, head_start_s, max_wait_s) if given["relax"] else ()
    music = read_music(given["music"], names.sounds) if given["music"] else ""
    announces: tuple[Announce, ...] = ()
    if given["announce"]:
        announces = (read_announce(given["announce"], names.sounds, [spoken]),)
    branches = {result: _branch(step, "on " + result.replace("_", " "), names, language) for result in Queue.results}
    if staff is not None and configured is not None:
        if given["needs"]:
            check_held(given["needs"], staff, queue, needs)
        music = music or configured.music
        if not announces and configured.announces:
            announces = configured.announces
            for announce in announces:
                _check_spoken(name, announce.items, names, spoken)
        if branches["full"] is not None and configured.max_length is None:
            step.pairs["on full"][0].complain(f'no call comes here: queue "{queue}" has no max length')
    if branches["timeout"] is not None and max_wait_s is None:
        step.pairs["on timeout"][0].complain("no call comes here: this step has no max wait")
    possible = {result for result, branch in branches.items() if branch is not None}
    possible |= {"timeout"} if max_wait_s is not None else set()
    possible |= {"full"} if configured is None or configured.max_length is not None else set()
    if branches["no_agents"] is not None:
        names.left.add(queue)
    timeout = branches["timeout"] or []
    ways = {
        "timeout": timeout,
        "full": timeout if branches["full"] is None else branches["full"],
        "no_agents": branches["no_agents"] or [],
    }
    return Draft(
        step.value,
        lambda drawn: Queue(
            place,
            drawn,
            queue,
            needs,
            head_start_s,
            max_wait_s,
            relax,
            leave_without_agents=queue in names.left,
            music=music,
            announces=announces,
            language=spoken,
        ),
        ways,
        frozenset(possible),
        queue,
    )


def _relax(value: Value, names: Names, queue: str, head_start_s: float, max_wait_s: float | None) -> tuple[Relax, ...]:
    """Rising times; a head start only grows, because a call never moves back."""
    found: list[Relax] = []
    for item in value.items():
        with item.section() as section:
            after, asked, head = section.need("after"), section.get("needs"), section.get("head start")
            if asked is None and head is None:
                item.complain("relax needs `needs`, `head start` or both")
            relax = Relax(
                scalars.duration(after) if after else 0.0,
                read_needs(asked, names.skills) if asked else None,
                scalars.head_start(head) if head else None,
            )
        if after and found and relax.after_s <= found[-1].after_s:
            after.complain("relax steps must stand in rising order of `after`")
        if after and max_wait_s is not None and relax.after_s >= max_wait_s:
            after.complain(f"this never comes: the call waits for {max_wait_s:g}s at most")
        if head and relax.head_start_s is not None:
            if relax.head_start_s <= head_start_s:
                head.complain("a later head start must be larger than the one before: a call never moves back")
            head_start_s = max(head_start_s, relax.head_start_s)
        if asked and relax.needs and names.staff and queue in names.staff.queues:
            check_held(asked, names.staff, queue, relax.needs)
        found.append(relax)
    if len(found) > _MOST_RELAXATIONS:
        value.complain(f"{len(found)} relax steps; {_MOST_RELAXATIONS} at most")
    return tuple(found)


def _transfer(step: Section, names: Names, language: str) -> Draft:
    place, uri = step.value.place, scalars.sip_uri(_main(step, "transfer"))
    ring_for, ringback = step.get("ring for"), step.get("ringback")
    ring_for_s = scalars.duration(ring_for, 1.0, 180.0) if ring_for else _RING_FOR_S
    music = read_music(ringback, names.sounds) if ringback else ""
    ways = {result: _branch(step, "on " + result.replace("_", " "), names, language) for result in Transfer.results}
    return _draft(
        step,
        lambda drawn: Transfer(place, drawn, uri, ring_for_s, music),
        {result: branch or [] for result, branch in ways.items()},
    )


def _hang_up(step: Section, names: Names, language: str) -> Draft:
    place, value = step.value.place, step.get("hang up")
    cause = "normal"
    if step.value.is_mapping and value is not None and not value.is_empty:
        cause = scalars.one_of(value, [name.replace("_", " ") for name in CAUSES], "cause").replace(" ", "_")
    return _draft(step, lambda ways: HangUp(place, ways, cause), {})


def _plan(step: Section, names: Names, language: str) -> Draft:
    value = _main(step, "plan")
    name = known(value, names.plans, "plan", "plans/")
    if name not in names.plans:
        return _hole(value, names)
    names.led_to.add(name)
    return Draft(step.value, lambda ways: HangUp(step.value.place, ways), {}, frozenset(), goes_to=name)


_READERS: Mapping[str, Callable[[Section, Names, str], Draft]] = {
    "answer": _answer,
    "play": _play,
    "when": _when,
    "queue": _queue,
    "transfer": _transfer,
    "hang up": _hang_up,
    "plan": _plan,
}
_BARE = ("answer", "hang up")  # may stand alone


# ---- parts that several steps have


def _draft(step: Section, make: Callable[[Mapping[str, int]], Step], ways: Mapping[str, list[Draft]]) -> Draft:
    return Draft(step.value, make, ways, frozenset(ways))


def _main(step: Section, verb: str) -> Value:
    value = step.get(verb)
    assert value is not None, verb  # the verb is how the reader was found
    return value


def _branch(step: Section, key: str, names: Names, language: str) -> list[Draft] | None:
    """The steps under a key; None if it is not there."""
    value = step.get(key)
    return None if value is None else read_steps(value, names, language)


def _language(step: Section, names: Names, language: str) -> str:
    value = step.get("language")
    return language if value is None else value.text()


def _check_spoken(place: Value, items: tuple[Item, ...], names: Names, language: str) -> None:
    for prompt in items:
        if isinstance(prompt, str) and names.sounds and language not in names.sounds.prompts.get(prompt, {language}):
            place.complain(f'prompt "{prompt}" of this queue\'s announcement has no words in language "{language}"')
