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
KINDS = {"nothing follows": "falls off", "hear nothing": "unanswered", "answer again": "twice"}
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
    kind = rng.choice(["play", "play", "queue", "when", "when", "short"]) if depth else "play"
    kind = rng.choice(["answer", "plan"]) if rng.random() < 0.05 else kind
    match kind:
        case "when":
            return {
                "when": {"caller on": "vip"},
                **ways(rng, depth, rng.choice([["then"], ["else"], ["then", "else"]])),
            }
        case "queue":
            return {"queue": "long", "max wait": "9s", **ways(rng, depth, rng.choice([[], ["on timeout"]]))}
        case "short":
            keys = rng.choice([[], ["on timeout"], ["on full"], ["on full", "on timeout"]])
            return {"queue": "short", "max wait": "9s", **ways(rng, depth, keys)}
        case "plan":
            return {"plan": rng.choice(NAMES)}
        case "answer":
            return "answer"
    return {"play": "hello"}


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

    def enter(self, tree: Tree, below: Stack = ()) -> Stack:
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
        if found in ("answer", "hang up") or "play" in found:
            return [] if found == "hang up" else ["done"]
        if "when" in found:
            return ["yes", "no"]
        return (["timeout"] if "max wait" in found else []) + (["full"] if found["queue"] == "short" else [])

    def follow(self, found: Any, result: str, stack: Stack) -> Stack:
        keys = {"yes": ["then"], "no": ["else"], "timeout": ["on timeout"], "full": ["on full", "on timeout"]}
        for key in keys.get(result, []):
            if key in found:
                return self.enter(found[key], stack)
        return stack

    def violations(self, dialled: list[str]) -> Iterator[str]:
        todo = [(self.enter(self.plans[name]), False) for name in dialled]
        seen = set()
        while todo:
            stack, answered = state = todo.pop()
            if state in seen:
                continue
            seen.add(state)
            found, stack = self.settle(stack)
            if found is None or found == "round":
                yield "falls off" if found is None else "round"
                continue
            if found == "answer" and answered:
                yield "twice"
            if isinstance(found, dict) and not answered and ("play" in found or "queue" in found):
                yield "unanswered"
            answered = answered or found == "answer"
            todo += [(self.follow(found, result, stack), answered) for result in self.results(found)]


def word(found: Any) -> str:
    return found if isinstance(found, str) else next(iter(found))


def word_of(step: Step) -> str:
    words = {"Answer": "answer", "HangUp": "hang up", "Play": "play", "CallerListed": "when", "Queue": "queue"}
    return words[type(step).__name__]


def test_the_table_walks_as_the_plan_is_written(tmp_path: Path) -> None:
    n_loaded = n_refused = 0
    for seed in range(N_BOOKS):
        rng = Random(seed)
        plans: dict[str, Tree] = {name: random_steps(rng, DEPTH) for name in NAMES}
        if rng.random() < 0.9:
            plans = {name: steps for name, steps in plans.items() if name == "a" or name in jumps(plans.values())}
        dialled = sorted({"a", rng.choice(list(plans) if rng.random() < 0.2 else ["a"])})
        for name in dialled:
            plans[name].insert(0, "answer")
        book, told = read(tmp_path, plans, dialled)
        model = Model(plans)
        check_complaints(model, dialled, told, seed)
        n_loaded, n_refused = n_loaded + (not told), n_refused + bool(told)
        if not any("leads back to itself" in one for one in told):
            for _ in range(10):
                walk_both(model, book, rng, seed)
    assert min(n_loaded, n_refused) > N_BOOKS / 20, (n_loaded, n_refused)


def check_complaints(model: Model, dialled: list[str], told: list[str], seed: int) -> None:
    """Refused for what the model finds, and for nothing else."""
    violations = set(model.violations(dialled))
    kinds = {kind for text, kind in KINDS.items() if any(text in one for one in told)}
    others = [one for one in told if any(text in one for text in OTHER)]
    assert len(told) == len(others) + sum(any(text in one for text in KINDS) for one in told), (seed, told)
    assert told or not violations, (seed, violations)
    assert others or kinds <= violations, (seed, kinds, violations)


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
