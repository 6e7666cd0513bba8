"""Our words for what happens to offers and waits, and the core's."""

from collections.abc import Iterator

from acd_core import Cancelled, Out
from acd_core import Refusal as Refused
from engine.callflow import events as ev
from engine.callflow.events import Event, Refusal

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


def news_of_offer(kind: int, offer: int, value: int, agent: str) -> Iterator[Event | ev.OfferGivenUp]:
    """What an output of the core (acd_core.Out) is to its call. Of one that ended as the call itself asked, the call
    hears nothing; that its phone is to be cleared, the conductor hears of each that was given up."""
    match kind:
        case Out.OFFER:
            yield ev.AgentReserved(offer, agent)
        case Out.OFFER_EXPIRED:
            yield ev.OfferExpired(offer)
        case Out.OFFER_CANCELLED if value == Cancelled.AGENT_LEFT:
            yield ev.OfferWithdrawn(offer)
        case Out.CALL_REQUEUED:
            yield ev.OffersFailed()
    if kind in (Out.OFFER_EXPIRED, Out.OFFER_CANCELLED):
        yield ev.OfferGivenUp(offer)
