"""Our words for what happens to offers and waits, and the core's."""

from acd_core import Refusal as Refused
from engine.callflow.events import Refusal

FAILURES = {
    Refusal.REJECTED: "refuse",
    Refusal.NO_ANSWER: "no_answer",
    Refusal.BUSY: "busy",
    Refusal.UNREACHABLE: "unreachable",
}

WAIT_OUTCOMES = {
    Refused.NO_AGENT: "no_agents",
    Refused.NO_SKILL: "no_skill",
    Refused.QUEUE_FULL: "full",
    Refused.WAIT_TOO_LONG: "too_long",
}

LEAVES = {"abandoned": "abandon", "withdrawn": "withdraw", "failed": "fail", "called_back": "call_back"}
