"""Random plans, walked as they are written (branches in branches) and as the plan book has them (a table with ways).

The model below knows nothing of tables: it keeps a stack of the lists it is in. Both must do the same steps for the
same results, and what the model finds wrong on some way is what the configuration is refused for, and nothing else.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from engine.callflow.plan import PlanBook, Step
from engine.callflow.settings import SoundFiles
from engine.callflow.staff import Agent, Queue, Serves, Staff
from engine.config.plans import read_plans
from engine.config.yaml_nodes import Report

NAMES = ("a", "b", "c")
N_BOOKS = 600
DEPTH = 2
STAFF = Staff(
    (),
    {"long": Queue("long"), "short": Queue("short", max_length=1)},
    {"1": Agent("1", "", "", {}, (Serves("long"), Serves("short")))},
)
SOUNDS = SoundFiles({"hello": {"zh": Path("hello.wav")}}, {})
KINDS = {
    "nothing follows": "falls off",
    "hear nothing": "unanswered",
    "carries no keys": "no keys",
    "answer again": "twice",
    "may hear us already": "early again",
    "a call has one talk": "talked",
}
BEGINNINGS: list[list[str]] = [["answer"], ["early media", "answer"], ["early media"], []]
OTHER = ("no call comes here", "go round", "leads back to itself")

Tree = list[Any]  # steps as YAML has them
Stack = tuple[tuple[int, int], ...]  # (list, position in it), innermost last


def random_steps(rng: Random, depth: int) -> Tree:
    """Some steps that mostly end; `answer` is rare, because plans begin with it."""
    steps = [random_step(rng, depth) for _ in range(rng.randrange(1, 4))]
    ends: list[Tree] = [["hang up"], ["hang up"], [{"plan": "b"}], [{"plan": "c"}], [{"queue": "long"}]]
    goes_on = rng.random() < (0.05 if depth == DEPTH else 0.7)
    return steps + ([] if goes_on else rng.choice(ends))


def random_step(rng: Random, depth: int) -> Any:
    kind = rng.choice(["play", "play", "queue", "when", "when", "short", "menu", "split"]) if depth else "play"
    kind = rng.choice(["answer", "plan", "early media"]) if rng.random() < 0.05 else kind
    match kind:
        case "when":
            return {
                "when": {"caller on": "vip"},
                **ways(rng, depth, rng.choice([["then"], ["else"], ["then", "else"]])),
            }
        case "queue":
            keys = rng.choice([[], [], ["on timeout"], ["after talk"], ["on timeout", "after talk"]])
            exits = {"keys": {"5": branch(rng, depth)}} if rng.random() < 0.2 else {}
            return {"queue": "long", "max wait": "9s", **exits, **ways(rng, depth, keys)}
        case "short":
            keys = rng.choice([[], ["on timeout"], ["on full"], ["on full", "on timeout"]])
            return {"queue": "short", "max wait": "9s", **ways(rng, depth, keys)}
        case "menu":
            keys = rng.choice([[], [], ["on no input"], ["on invalid"]])
            choices = {key: branch(rng, depth) for key in rng.choice([["1"], ["1", "12"], ["*", "0"]])}
            return {"menu": "hello", "keys": choices, **ways(rng, depth, keys)}
        case "split":
            return {"split": {"40% a": branch(rng, depth), "60% b": branch(rng, depth)}}
        case "plan":
            return {"plan": rng.choice(NAMES)}
        case "answer" | "early media":
            return kind
    return {"play": "hello"}


def branch(rng: Random, depth: int) -> Tree | str:
    return "go on" if rng.random() < 0.3 else random_steps(rng, depth - 1)


def jumps(part: Any) -> set[str]:
    """All plans that these steps lead to."""
    if isinstance(part, str):
        return set()
    found = {part["plan"]} if isinstance(part, dict) and "plan" in part else set()
    return found.union(*map(jumps, part.values() if isinstance(part, dict) else part))


def ways(rng: Random, depth: int, keys: list[str]) -> dict[str, Tree]:
    return {key: random_steps(rng, depth - 1) for key in keys}


class Model:
    """Walks the tree. The results of a step are told apart by the branch they take."""

    def __init__(self, plans: dict[str, Tree]) -> None:
        self.plans = plans
        self.lists: dict[int, Tree] = {}

    def enter(self, tree: Tree | str, below: Stack = ()) -> Stack:
        if isinstance(tree, str):  # go on
            return below
        self.lists[id(tree)] = tree
        return (*below, (id(tree), 0))

    def settle(self, stack: Stack) -> tuple[Any, Stack]:
        """The step that stands next and the stack behind it; None where nothing follows."""
        for _ in range(100):
            while stack and stack[-1][1] >= len(self.lists[stack[-1][0]]):
                stack = stack[:-1]
            if not stack:
                return None, ()
            (tree, at), stack = stack[-1], stack[:-1]
            found, stack = self.lists[tree][at], (*stack, (tree, at + 1))
            if not (isinstance(found, dict) and "plan" in found):
                return found, stack
            stack = self.enter(self.plans[found["plan"]])
        return "round", ()

    def results(self, found: Any) -> list[str]:
        if isinstance(found, str) or "play" in found:
            return [] if found == "hang up" else ["done"]
        if "when" in found:
            return ["yes", "no"]
        if "split" in found:
            return ["a", "b"]
        if "menu" in found:
            return [*found["keys"], "no_input", "invalid"]
        ends = (["timeout"] if "max wait" in found else []) + (["full"] if found["queue"] == "short" else [])
        return ends + list(found.get("keys", ())) + (["served"] if "after talk" in found else [])

    def follow(self, found: Any, result: str, stack: Stack) -> Stack:
        if "split" in found:
            return self.enter(found["split"][{"a": "40% a", "b": "60% b"}[result]], stack)
        if result in found.get("keys", ()) if isinstance(found, dict) else False:
            return self.enter(found["keys"][result], stack)
        keys = {"yes": ["then"], "no": ["else"], "timeout": ["on timeout"], "full": ["on full", "on timeout"]}
        keys |= {"served": ["after talk"], "no_input": ["on no input"], "invalid": ["on invalid"]}
        for key in keys.get(result, []):
            if key in found:
                return self.enter(found[key], stack)
        return stack

    def violations(self, dialled: list[str]) -> Iterator[str]:
        todo = [(self.enter(self.plans[name]), False, False, False) for name in dialled]
        seen = set()
        while todo:
            stack, answered, early, talked = state = todo.pop()
            if state in seen:
                continue
            seen.add(state)
            found, stack = self.settle(stack)
            if found is None or found == "round":
                yield "falls off" if found is None else "round"
                continue
            if found == "answer" and answered:
                yield "twice"
            if found == "early media" and (answered or early):
                yield "early again"
            is_asked = isinstance(found, dict) and ("queue" in found or "menu" in found)
            if not answered and (is_asked or (not early and isinstance(found, dict) and "play" in found)):
                yield "no keys" if early else "unanswered"
            if isinstance(found, dict) and "queue" in found and talked:
                yield "talked"
            answered, early = answered or found == "answer", early or found == "early media"
            for result in self.results(found):
                todo.append((self.follow(found, result, stack), answered, early, talked or result == "served"))


def word(found: Any) -> str:
    return found if isinstance(found, str) else next(iter(found))


def word_of(step: Step) -> str:
    words = {"Answer": "answer", "HangUp": "hang up", "Play": "play", "CallerListed": "when", "Queue": "queue"}
    words |= {"Ask": "menu", "Share": "split", "EarlyMedia": "early media"}
    return words[type(step).__name__]


def test_the_table_walks_as_the_plan_is_written(tmp_path: Path) -> None:
    n_loaded = n_refused = 0
    told_of: set[str] = set()
    for seed in range(N_BOOKS):
        rng = Random(seed)
        plans: dict[str, Tree] = {name: random_steps(rng, DEPTH) for name in NAMES}
        if rng.random() < 0.9:
            plans = {name: steps for name, steps in plans.items() if name == "a" or name in jumps(plans.values())}
        dialled = sorted({"a", rng.choice(list(plans) if rng.random() < 0.2 else ["a"])})
        for name in dialled:
            plans[name][:0] = rng.choices(BEGINNINGS, [12, 2, 1, 1])[0]
        book, told = read(tmp_path, plans, dialled)
        model = Model(plans)
        told_of |= check_complaints(model, dialled, told, seed)
        n_loaded, n_refused = n_loaded + (not told), n_refused + bool(told)
        if not any("leads back to itself" in one for one in told):
            for _ in range(10):
                walk_both(model, book, rng, seed)
    assert min(n_loaded, n_refused) > N_BOOKS / 20, (n_loaded, n_refused)
    assert told_of == set(KINDS.values()), "every mistake came about"


def check_complaints(model: Model, dialled: list[str], told: list[str], seed: int) -> set[str]:
    """Refused for what the model finds, and for nothing else: that is what comes back."""
    violations = set(model.violations(dialled))
    kinds = {kind for text, kind in KINDS.items() if any(text in one for one in told)}
    others = [one for one in told if any(text in one for text in OTHER)]
    assert len(told) == len(others) + sum(any(text in one for text in KINDS) for one in told), (seed, told)
    assert told or not violations, (seed, violations)
    assert others or kinds <= violations, (seed, kinds, violations)
    return kinds


def walk_both(model: Model, book: PlanBook, rng: Random, seed: int) -> None:
    name = rng.choice(list(model.plans))
    index, stack = book.entries[name], model.enter(model.plans[name])
    for _ in range(30):
        found, stack = model.settle(stack)
        step = book.steps[index]
        assert word_of(step) == word(found), seed
        if not (results := model.results(found)):
            return
        result = rng.choice(results)
        stack = model.follow(found, result, stack)
        if result not in step.ways:
            assert model.settle(stack)[0] is None, seed
            return
        index = step.ways[result]


def read(folder: Path, plans: dict[str, Tree], dialled: list[str]) -> tuple[PlanBook, list[str]]:
    numbers = {str(n): name for n, name in enumerate(dialled)}
    text = json.dumps({"numbers": numbers, "lists": {"vip": ["1"]}, "plans": plans}, indent=1)
    (folder / "main.yaml").write_text(text)
    report = Report()
    book = read_plans(folder, STAFF, SOUNDS, report)
    return book, [one.text for one in report.found]
