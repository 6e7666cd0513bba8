"""Figures out of what the phones, the RTP source and /proc saw. Pure: nothing here runs. Counterpart: seen.py.

A caller and whoever the switch called belong together when each hears the other's stamps; the switch is not asked. A
conversation lasts from the answer to the first of the two ends. A caller waits from the own answer to the conversation.
Latencies are in ms here, times of day in ns.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.generator.counts import StreamResult
from benchmarks.generator.phones import Record
from benchmarks.machine import threads_between
from benchmarks.seen import Seen

Results = Mapping[int, StreamResult]

QUIET_NS = 300_000_000  # audio may stop that long before the end: what lies in jitter buffers is lost with the call


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


def failures(seen: Seen, results: Results, talks: Sequence[Talk], hang_up: str) -> Counter[str]:
    """Calls that did not go as their callers meant them to, one cause a call. `hang_up`: who ends a talk."""
    talk_of = {talk.caller.id: talk for talk in talks}
    causes = (_failure(caller, talk_of.get(caller.id), results.get(caller.id), hang_up) for caller in seen.callers)
    return Counter(cause for cause in causes if cause)


def _failure(caller: Record, talk: Talk | None, heard: StreamResult | None, hang_up: str) -> str:
    if caller.failure:
        return caller.failure
    if not caller.ended_ns:
        return "never ended"
    if talk and talk.agent.failure:
        return f"agent: {talk.agent.failure}"
    if caller.wants == "plan" and caller.ended_by == "us":
        return ""  # the run was over first
    if caller.wants == "plan":
        return "no audio from the switch" if not heard or not heard["n_received"] else ""
    if caller.wants == "talk" and caller.ended_by == "us" and hang_up == "agent":
        return ""  # waited, or talked, when the run was over
    ended_by = "us" if caller.wants == "gives up" or hang_up == "caller" else "far end"
    if caller.ended_by != ended_by and not (caller.wants == "gives up" and talk):
        return f"ended by {caller.ended_by}"
    if talk:
        return _bad_audio(talk)
    if caller.wants == "gives up":
        return ""
    return "audio one way or crossed" if heard and heard["n_stamped"] else "no agent heard"


def _bad_audio(talk: Talk) -> str:
    for heard in (talk.caller_heard, talk.agent_heard):
        if heard["n_crossed"]:
            return "another call's audio"
        if talk.ended_ns - heard["last_stamp_ns"] > QUIET_NS:
            return "audio stopped before the end"
    return ""


def refused(callers: Sequence[Record]) -> int:
    """Calls that a limit turned away: they may be without a CDR."""
    return sum(caller.failure.startswith("503 ") for caller in callers)


def rtp(talks: Sequence[Talk]) -> dict[str, Any]:
    """Packets of both directions. Lost: sent, never heard though later ones were; early: in the first second."""
    heard = [side for talk in talks for side in (talk.caller_heard, talk.agent_heard)]
    # Each side's packets, and how evenly they had left the other side.
    crossed = [(talk.caller_heard, talk.agent_heard) for talk in talks]
    crossed += [(agent, caller) for caller, agent in crossed]
    n_stamped, n_late = sum(h["n_stamped"] for h in heard), sum(h["n_late"] for h in heard)
    return {
        "heard": n_stamped,
        "lost": sum(h["stamps"]["lost"] for h in heard),
        "lost_early": sum(h["n_lost_early"] for h in heard),
        "late": n_late,
        "late_percent": round(100 * n_late / n_stamped, 4) if n_stamped else 0.0,
        "out_of_order": sum(h["stamps"]["out_of_order"] for h in heard),
        "duplicate": sum(h["stamps"]["duplicate"] for h in heard),
        "without_stamp": sum(h["n_hole"] for h in heard),
        "wire_lost": sum(h["wire"]["lost"] for h in heard),
        "wire_late": sum(h["n_wire_late"] for h in heard),
        "wire_out_of_order": sum(h["wire"]["out_of_order"] for h in heard),
        "jitter_ms": percentiles(h["jitter_us"] / 1000 for h in heard),
        "jitter_added_ms": percentiles(max(0, h["jitter_us"] - s["sent_jitter_us"]) / 1000 for h, s in crossed),
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


def set_up(talks: Sequence[Talk], callers: Sequence[Record], an_agent_is_free: bool) -> dict[str, Any]:
    """Where callers wait for an agent, the time to the agent's phone is theirs and no figure of the switch."""
    found = {
        "invite_to_200_ms": percentiles((c.answered_ns - c.invite_ns) / 1e6 for c in callers if c.answered_ns),
        "answer_to_audio_ms": percentiles((t.caller_heard["first_stamp_ns"] - t.begun_ns) / 1e6 for t in talks),
    }
    if an_agent_is_free:
        found["invite_to_agent_invite_ms"] = percentiles((t.agent.invite_ns - t.caller.invite_ns) / 1e6 for t in talks)
    return found


def agent_free(seen: Seen, talks: Sequence[Talk], from_ns: int) -> dict[str, float] | None:
    """From an agent's BYE to the next INVITE at that phone, ms, where a caller was waiting when the BYE was sent."""
    reached = {talk.caller.id: talk.agent.invite_ns for talk in talks}
    came = sorted(c.answered_ns for c in seen.callers if c.answered_ns)
    left = sorted(min(reached.get(c.id, c.ended_ns), c.ended_ns) for c in seen.callers if c.answered_ns and c.ended_ns)
    last: dict[str, Record] = {}
    waits = []
    for record in sorted(seen.agents, key=lambda record: record.invite_ns):
        before = last.get(record.user)
        last[record.user] = record
        if not before or before.ended_by != "us" or before.failure or before.ended_ns < from_ns:
            continue
        if bisect_right(came, before.ended_ns) > bisect_right(left, before.ended_ns):
            waits.append((record.invite_ns - before.ended_ns) / 1e6)
    return percentiles(waits)


def served_later_first(talks: Sequence[Talk]) -> int:
    """Callers who were offered to an agent after one who had come later: the queue's order, as seen from outside."""
    n, newest = 0, 0
    for talk in sorted(talks, key=lambda talk: talk.agent.invite_ns):
        n += talk.caller.invite_ns < newest
        newest = max(newest, talk.caller.invite_ns)
    return n


def seconds_of_calls(seen: Seen, talks: Sequence[Talk]) -> tuple[float, float]:
    """Within the window: seconds of conversation, and seconds that answered callers spent without one."""
    if not seen.measured:
        return 0.0, 0.0
    begin_ns, end_ns = (int(sample.ours.at_s * 1e9) for sample in seen.measured)

    def inside(from_ns: int, until_ns: int) -> int:
        return max(0, min(until_ns or end_ns, end_ns) - max(from_ns, begin_ns))

    talked = sum(inside(talk.begun_ns, talk.ended_ns) for talk in talks)
    was_in = sum(inside(caller.answered_ns, caller.ended_ns) for caller in seen.callers if caller.answered_ns)
    return talked / 1e9, max(0, was_in - talked) / 1e9


def cpu(seen: Seen, talks: Sequence[Talk]) -> dict[str, Any]:
    """What the window cost. A call-second is a second of one conversation, both legs, or of one caller who waits."""
    if not seen.measured:
        return {}
    before, after = seen.measured
    begin_ns, end_ns = int(before.ours.at_s * 1e9), int(after.ours.at_s * 1e9)
    talked_s, waited_s = seconds_of_calls(seen, talks)
    wall_s = after.ours.at_s - before.ours.at_s
    figures: dict[str, Any] = {
        "window_s": round(wall_s, 2),
        "talk_s": round(talked_s, 1),
        "waiting_s": round(waited_s, 1),
        "conversations": round(talked_s / wall_s, 1),
        "waiting": round(waited_s / wall_s, 1),
        "calls_per_s": round(sum(begin_ns <= c.invite_ns < end_ns for c in seen.callers) / wall_s, 2),
        "generator_cores": round((after.ours.cpu_s - before.ours.cpu_s) / wall_s, 3),
        "stolen_percent": _percent(
            after.cpus.stolen_s - before.cpus.stolen_s, after.cpus.total_s - before.cpus.total_s
        ),
    }
    if before.engine and after.engine:
        spent = after.engine.cpu_s - before.engine.cpu_s
        call_s = talked_s + waited_s
        figures["engine_cores"] = round(spent / wall_s, 3)
        figures["engine_cpu_s_per_1000_call_s"] = round(1000 * spent / call_s, 2) if call_s else None
        threads = threads_between(before.engine, after.engine)
        figures["engine_by_thread"] = {
            name: {
                "cores": round(s / wall_s, 3),
                "cpu_s_per_1000_call_s": round(1000 * s / call_s, 2) if call_s else None,
            }
            for name, s in threads.items()
            if s / wall_s > 0.001
        }
        n_calls = figures["calls_per_s"] * wall_s
        figures["engine_cpu_ms_per_call"] = round(1000 * spent / n_calls, 2) if n_calls else None
    busy = (after.cpus.busy_s - before.cpus.busy_s) / wall_s
    others = busy - figures["generator_cores"] - figures.get("engine_cores", 0.0)
    figures["others_cores"] = round(max(0.0, others), 2)
    return figures


def memory(seen: Seen) -> dict[str, Any]:
    """RSS in kB, descriptors: what calls add to a switch that has started and waits. A conversation has two legs."""
    if not seen.idle or not seen.after or not seen.measured:
        return {}
    _, sample = seen.measured
    n_legs = sample.n_in + sample.n_talking
    if not sample.engine or not n_legs:
        return {}
    grown_kb = (sample.engine.rss - seen.idle.rss) / 1024
    return {
        "rss_idle_kb": seen.idle.rss // 1024,
        "rss_kb": sample.engine.rss // 1024,
        "rss_after_kb": seen.after.rss // 1024,
        "rss_per_leg_kb": round(grown_kb / n_legs, 1),
        "rss_per_conversation_kb": round(2 * grown_kb / n_legs, 1),
        "descriptors_idle": seen.idle.n_descriptors,
        "descriptors": sample.engine.n_descriptors,
        "descriptors_after": seen.after.n_descriptors,
        "descriptors_per_leg": round((sample.engine.n_descriptors - seen.idle.n_descriptors) / n_legs, 2),
    }


def dropped(seen: Seen, by_generator: int) -> int | None:
    """Datagrams that full sockets of the switch dropped; None where it runs on another machine."""
    if not seen.idle or not seen.samples:
        return None
    return max(0, seen.samples[-1].n_full - seen.samples[0].n_full - by_generator)


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 2) if whole else 0.0
