"""Figures out of what the phones, the RTP source and /proc saw. Pure: nothing here runs. Counterpart: scenario.py.

A caller and an agent belong together when each hears the other's stamps; the switch is not asked. A conversation lasts
from the agent's answer to the first of the two ends. Latencies are in ms here, times of day in ns.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.generator.counts import StreamResult
from benchmarks.generator.phones import Record
from benchmarks.machine import threads_between
from benchmarks.scenario import Sample, Seen

Results = Mapping[int, StreamResult]

QUIET_NS = 300_000_000  # audio may stop that long before the end: what lies in jitter buffers is lost with the call
N_PACKETS_PER_S = 50


@dataclass(frozen=True, slots=True)
class Talk:
    caller: Record
    agent: Record
    caller_heard: StreamResult
    agent_heard: StreamResult

    @property
    def begun_ns(self) -> int:
        return self.agent.answered_ns

    @property
    def ended_ns(self) -> int:
        return min(self.caller.ended_ns, self.agent.ended_ns)


def percentiles(values: Iterable[float]) -> dict[str, float] | None:
    """Nearest rank; None for no values."""
    ordered = sorted(values)
    if not ordered:
        return None
    ranks = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found = {name: ordered[max(0, -(-int(p * 1000) * len(ordered) // 1000) - 1)] for name, p in ranks.items()}
    return {name: round(value, 2) for name, value in (found | {"max": ordered[-1]}).items()} | {"n": len(ordered)}


def pair(seen: Seen, results: Results) -> list[Talk]:
    """Those who heard each other."""
    callers = {record.id: record for record in seen.callers}
    talks = []
    for agent in seen.agents:
        agent_heard = results.get(agent.id)
        caller = callers.get(agent_heard["heard"]) if agent_heard else None
        caller_heard = results.get(caller.id) if caller else None
        if caller and agent_heard and caller_heard and caller_heard["heard"] == agent.id:
            talks.append(Talk(caller, agent, caller_heard, agent_heard))
    return talks


def failures(seen: Seen, results: Results, talks: Sequence[Talk], ended_by: str) -> Counter[str]:
    """Calls that did not go as they should, one cause a call. `ended_by`: who should hang up on the caller."""
    talk_of = {talk.caller.id: talk for talk in talks}
    found: Counter[str] = Counter()
    for caller in seen.callers:
        talk = talk_of.get(caller.id)
        if caller.failure:
            found[caller.failure] += 1
        elif not caller.ended_ns:
            found["never ended"] += 1
        elif talk and talk.agent.failure:
            found[f"agent: {talk.agent.failure}"] += 1
        elif caller.ended_by == "us" and ended_by == "far end":
            continue  # waiting, or talking, when the scenario ended
        elif caller.ended_by != ended_by:
            found[f"ended by {caller.ended_by}"] += 1
        elif not talk:
            heard = results[caller.id]["n_stamped"] if caller.id in results else 0
            found["audio one way or crossed" if heard else "no agent heard"] += 1
        elif cause := _bad_audio(talk):
            found[cause] += 1
    return found


def refused(callers: Sequence[Record]) -> int:
    """Calls that a limit turned away: they may be without a CDR."""
    return sum(caller.failure.startswith("503 ") for caller in callers)


def _bad_audio(talk: Talk) -> str:
    for heard in (talk.caller_heard, talk.agent_heard):
        if heard["n_crossed"]:
            return "another call's audio"
        if talk.ended_ns - heard["last_stamp_ns"] > QUIET_NS:
            return "audio stopped before the end"
    return ""


def rtp(talks: Sequence[Talk]) -> dict[str, Any]:
    """Packets of both directions. Lost: sent, never heard though later ones were; early: in the first second."""
    heard = [side for talk in talks for side in (talk.caller_heard, talk.agent_heard)]
    n_stamped, n_lost = sum(h["n_stamped"] for h in heard), sum(h["stamps"]["lost"] for h in heard)
    return {
        "heard": n_stamped,
        "lost": n_lost,
        "lost_early": sum(h["n_lost_early"] for h in heard),
        "late": sum(h["n_late"] for h in heard),
        "out_of_order": sum(h["stamps"]["out_of_order"] for h in heard),
        "duplicate": sum(h["stamps"]["duplicate"] for h in heard),
        "without_stamp": sum(h["n_hole"] for h in heard),
        "wire_lost": sum(h["wire"]["lost"] for h in heard),
        "wire_late": sum(h["n_wire_late"] for h in heard),
        "wire_out_of_order": sum(h["wire"]["out_of_order"] for h in heard),
        "jitter_ms": percentiles(h["jitter_us"] / 1000 for h in heard),
        "latency_max_ms": max((h["latency_max_us"] / 1000 for h in heard), default=None),
        "n_moved": sum(h["n_moved"] for h in heard),
        "n_ssrc_changes": sum(h["n_ssrc"] - 1 for h in heard if h["n_ssrc"]),
    }


def latency_of(buckets: Sequence[int], bucket_s: float) -> dict[str, float] | None:
    """Percentiles of a histogram, upper edges, ms."""
    total, found = sum(buckets), {}
    if not total:
        return None
    for name, p in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)):
        count = 0
        for index, n in enumerate(buckets):
            count += n
            if count >= p * total:
                found[name] = round((index + 1) * bucket_s * 1000, 2)
                break
    return found


def set_up(talks: Sequence[Talk], callers: Sequence[Record]) -> dict[str, Any]:
    return {
        "invite_to_200_ms": percentiles((c.answered_ns - c.invite_ns) / 1e6 for c in callers if c.answered_ns),
        "invite_to_agent_invite_ms": percentiles((t.agent.invite_ns - t.caller.invite_ns) / 1e6 for t in talks),
        "answer_to_audio_ms": percentiles((t.caller_heard["first_stamp_ns"] - t.begun_ns) / 1e6 for t in talks),
    }


def agent_free(agents: Sequence[Record], from_ns: int, until_ns: int) -> dict[str, float] | None:
    """From an agent's BYE to the next INVITE at that phone, ms, where the BYE fell into the window."""
    last: dict[str, Record] = {}
    waits = []
    for record in sorted(agents, key=lambda record: record.invite_ns):
        before = last.get(record.user)
        if before and before.ended_by == "us" and from_ns <= before.ended_ns < until_ns:
            waits.append((record.invite_ns - before.ended_ns) / 1e6)
        last[record.user] = record
    return percentiles(waits)


def served_later_first(talks: Sequence[Talk]) -> int:
    """Callers who were offered to an agent after one who had come later: the queue's order, as seen from outside."""
    n, newest = 0, 0
    for talk in sorted(talks, key=lambda talk: talk.agent.invite_ns):
        n += talk.caller.invite_ns < newest
        newest = max(newest, talk.caller.invite_ns)
    return n


def cpu(seen: Seen, talks: Sequence[Talk]) -> dict[str, Any]:
    """What the window cost. A call-second is a second of one conversation, both legs."""
    if len(seen.samples) < 2:
        return {}
    before, after = seen.samples[0], seen.samples[-1]
    begin_ns, end_ns = int(before.ours.at_s * 1e9), int(after.ours.at_s * 1e9)
    call_s = sum(max(0, min(t.ended_ns, end_ns) - max(t.begun_ns, begin_ns)) for t in talks) / 1e9
    wall_s = after.ours.at_s - before.ours.at_s
    figures: dict[str, Any] = {
        "window_s": round(wall_s, 2),
        "call_s": round(call_s, 1),
        "conversations": round(call_s / wall_s, 1),
        "generator_cores": round((after.ours.cpu_s - before.ours.cpu_s) / wall_s, 3),
        "stolen_percent": _percent(
            after.cpus.stolen_s - before.cpus.stolen_s, after.cpus.total_s - before.cpus.total_s
        ),
    }
    if before.engine and after.engine:
        spent = after.engine.cpu_s - before.engine.cpu_s
        figures["engine_cores"] = round(spent / wall_s, 3)
        figures["engine_cpu_s_per_1000_call_s"] = round(1000 * spent / call_s, 2) if call_s else None
        threads = threads_between(before.engine, after.engine)
        figures["engine_cores_by_thread"] = {
            name: round(s / wall_s, 3) for name, s in threads.items() if s / wall_s > 0.001
        }
    busy = (after.cpus.busy_s - before.cpus.busy_s) / wall_s
    others = busy - figures["generator_cores"] - figures.get("engine_cores", 0.0)
    figures["others_cores"] = round(max(0.0, others), 2)
    return figures


def memory(seen: Seen) -> dict[str, Any]:
    """RSS in kB: what a conversation adds to the daemon that has started and waits."""
    if not seen.idle or not seen.after or len(seen.samples) < 2:
        return {}
    sample: Sample = seen.samples[-1]
    if not sample.engine or not sample.n_talking:
        return {}
    per_talk = (sample.engine.rss - seen.idle.rss) / 1024 / sample.n_talking
    return {
        "rss_idle_kb": seen.idle.rss // 1024,
        "rss_kb": sample.engine.rss // 1024,
        "rss_after_kb": seen.after.rss // 1024,
        "rss_per_conversation_kb": round(per_talk, 1),
        "rss_per_leg_kb": round(per_talk / 2, 1),
        "descriptors_idle": seen.idle.n_descriptors,
        "descriptors": sample.engine.n_descriptors,
        "descriptors_after": seen.after.n_descriptors,
    }


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 2) if whole else 0.0
