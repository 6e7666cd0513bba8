"""The steps that ask another room or tell it something: look up, webhook, callback.

Counterparts: steps.py, which knows every step by its word; engine/callflow/steps.py, the types and the defaults.
"""

from typing import Any

from engine.callflow.steps import Callback, LookUp, Webhook
from engine.config import scalars
from engine.config.drafts import Draft, Here
from engine.config.needs import known
from engine.config.values import CUSTOMER
from engine.config.yaml_nodes import guess

CUSTOMERS = "customers"  # the database's
OWN_QUEUE = "$queue"
_REASONS = ("timeout", "asked", "after hours")


def look_up(here: Here) -> Draft:
    """`look up: customers`, or a name under `look-ups` of switch.yaml."""
    source, place = here.main("look up"), here.place
    name = source.text()
    web = here.names.look_ups.get(name)
    if name and name != CUSTOMERS and web is None:
        names = [CUSTOMERS, *here.names.look_ups]
        source.complain(f'look-up "{name}" is not in switch.yaml, nor is it {CUSTOMERS}{guess(name, names)}')
    number, within, into = here.get("number"), here.get("within"), here.get("into")
    read: dict[str, Any] = {"within_s": web.within_s} if web else {}
    if number:
        read["number"] = here.text(number)
    if within:
        read["within_s"] = scalars.duration(within, 0.05, 10.0)
    prefix = scalars.name(into) if into else "customer"
    fields = CUSTOMER if web is None else web.fields
    found = frozenset(f"{prefix}.{field}" for field in fields)
    return here.draft(
        lambda drawn: LookUp(place, drawn, name, into=prefix, **read), here.on(LookUp.results), {"found": found}
    )


def no_callbacks(queue: str) -> str:
    return f'nobody would call back: queue "{queue}" has no `callbacks` in staff.yaml'


def webhook(here: Here) -> Draft:
    """`webhook: URL`, with `values: {spot: slimming, number: $digits}`."""
    url, given, place = scalars.web_address(here.main("webhook")), here.get("values"), here.place
    values = {key.text(): here.text(value) for key, value in given.pairs()} if given else None
    return here.draft(lambda drawn: Webhook(place, drawn, url, values), {"done": []})


def callback(here: Here) -> Draft:
    """`callback: QUEUE`, or `callback` for the queue that the call has waited in: to the caller, or to `number`."""
    main, place, staff = here.main("callback"), here.place, here.names.staff
    if here.step.value.is_scalar or main.is_empty:
        queue = OWN_QUEUE
        here.use(here.step.value, "queue")
    else:
        queue = known(main, here.names.queues, "queue", "staff.yaml")
        if staff and queue in staff.queues and staff.queues[queue].callbacks is None:
            main.complain(no_callbacks(queue))
    number, reason = here.get("number"), here.get("reason")
    read: dict[str, Any] = {}
    if number:
        read["number"] = here.text(number)
    if reason:
        read["reason"] = scalars.one_of(reason, _REASONS).replace(" ", "_")
    ways = {"done": [], **here.on(["no_number"])}
    return here.draft(lambda drawn: Callback(place, drawn, queue, **read), ways)
