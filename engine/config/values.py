"""The names a call can know values by: `$name` in a plan. Counterparts: Situation.value (engine/callflow/plan.py),
which gives the value; the conductor, which puts in what the switch knows; paths.py, which checks that somebody sets a
name.
"""

from collections.abc import Mapping

# What every call knows, whatever its plan does.
ALWAYS: Mapping[str, str] = {
    "ani": "the caller's number; empty when withheld",
    "dnis": "the number dialled",
    "trunk": "the trunk the call came over",
    "name": "the caller's display name",
    "call": "the call's number in records and traces",
}

# From the first queue step on.
QUEUED: Mapping[str, str] = {
    "queue": "the queue it waits in, or waited in last",
    "waited": "seconds of waiting, in that queue",
}

# In the announcements of a queue.
WAITING: Mapping[str, str] = {
    "position": "place in the queue, 1 is next",
    "ewt": "expected wait in seconds, median",
    "ewt.late": "expected wait in seconds; 80 percent of callers are answered before it",
}

# In whisper and greeting, and after the talk.
TALKING: Mapping[str, str] = {
    "agent": "the agent's number",
    "agent.name": "the agent's name",
}

# What `look up: customers` finds, each as PREFIX.field; empty where the customer has none.
CUSTOMER: Mapping[str, str] = {
    "number": "the customer's number, as +8613800138000",
    "name": "the customer's name",
    "level": "vip, or any other level the plans ask for",
    "region": "where the customer lives",
    "agent": "number of the agent of the last order",
    "notes": "remarks",
}

WAITED_IN = "queue "  # and a queue: no name of a value, but what `queue` may be

BUILT_IN: Mapping[str, str] = {**ALWAYS, **QUEUED, **WAITING, **TALKING}
