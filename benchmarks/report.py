"""The result as a table, the verdict against the stated limits, and the progress line. Counterpart: load.py."""

import sys
import time
from typing import Any

from rich.console import Console
from rich.table import Table

AGENT_FREE_P99_MS = 20.0
OTHERS_CORES = 0.2
STALL_MS = 20  # the generator itself being later than one frame makes a run doubtful

_shown_at = 0.0


def progress(text: str, lasting: bool = False) -> None:
    """One line on stderr, over the last one on a terminal; a line each 5 s elsewhere."""
    global _shown_at
    if sys.stderr.isatty() and not lasting:
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif lasting or time.monotonic() - _shown_at >= 5:
        _shown_at = time.monotonic()
        print(text, file=sys.stderr, flush=True)


def progress_done() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def judge(result: dict[str, Any]) -> dict[str, Any]:
    """The limits that were missed, in words. Doubts: what the generator or the machine did to the figures."""
    missed, doubts = [], []
    for name in ("steady", "surplus"):
        seen = result.get(name, {})
        if seen.get("n_failed"):
            missed.append(f"{name}: {seen['n_failed']} of {seen['n_calls']} calls failed")
        lost = seen.get("rtp", {}).get("lost", 0) + seen.get("rtp", {}).get("wire_lost", 0)
        if lost:
            missed.append(f"{name}: {lost} RTP packets lost")
        if busy := seen.get("n_busy_phones_rung"):
            missed.append(f"{name}: {busy} offers to an agent who was talking")
        if seen.get("left_behind"):
            missed.append(f"{name}: left behind {seen['left_behind']}")
    free = result.get("surplus", {}).get("agent_free_to_invite_ms")
    if free and free["p99"] > AGENT_FREE_P99_MS:
        missed.append(f"agent free to INVITE p99 {free['p99']} ms > {AGENT_FREE_P99_MS:g} ms")
    records = result.get("records", {})
    for fault in ("missing", "surplus", "open", "recording_overruns"):
        if records.get(fault):
            missed.append(f"records: {records[fault]} {fault.replace('_', ' ')}")
    recordings = result.get("recordings", {})
    for fault in ("missing", "unreadable", "not_stereo"):
        if recordings.get(fault):
            missed.append(f"recordings: {recordings[fault]} {fault.replace('_', ' ')}")
    missed += [f"assignment: {problem}" for problem in result.get("wrong_assignments", [])]
    if not result["steady"]["n_talks"]:
        missed.append("no conversation came about")
    generator = result.get("generator", {})
    if generator.get("longest_stall_ms", 0) > STALL_MS:
        doubts.append(f"the generator once sent {generator['longest_stall_ms']} ms late")
    if generator.get("n_dropped"):
        doubts.append(f"{generator['n_dropped']} packets overflowed the generator's own sockets")
    cpu = result["steady"]["cpu"]
    if cpu.get("stolen_percent", 0) > 1:
        doubts.append(f"{cpu['stolen_percent']} % of the machine was stolen by its host")
    if cpu.get("others_cores", 0) > OTHERS_CORES and not result["real_time"]:
        doubts.append(f"other programs took {cpu['others_cores']} cores; `chrt -r 1` before the command keeps them out")
    if result.get("interrupted"):
        doubts.append("interrupted")
    return {"passed": not missed and not result.get("interrupted"), "missed": missed, "doubts": doubts}


def show(result: dict[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 110)
    load, host = result["load"], result["machine"]
    record = "not recorded" if load["record"] == "none" else f"recorded as {load['record']}"
    table = Table(
        title=f"{result['what']}: {load['rate']:g} calls/s, {load['talk_s']:g} s talks, {load['codec']}, {record}\n"
        f"{host['cpu']}, {host['n_cpus']} CPUs, commit {host['commit'] or '?'}",
        show_header=False,
        title_justify="left",
    )
    for name in ("steady", "surplus"):
        if name in result:
            _rows(table, name, result[name])
    if records := result.get("records"):
        dispositions = ", ".join(f"{n} {name}" for name, n in records["dispositions"].items())
        table.add_row("CDRs", f"{records['cdrs']}: {dispositions}")
    if recordings := result.get("recordings"):
        table.add_row(
            "recordings",
            f"{recordings['files']} files, {recordings['seconds']:,.0f} s, {recordings['mb']} MB, "
            f"{recordings['missing']} missing, {recordings['unreadable']} unreadable, "
            f"{result['records']['recording_overruns']} overruns",
        )
    if (wrong := result.get("wrong_assignments")) is not None:
        table.add_row("assignments", f"every one audited from the trace, {len(wrong)} wrong")
    generator = result["generator"]
    table.add_row(
        "generator",
        f"{generator['n_sent']:,} RTP sent, {generator['n_received']:,} received, "
        f"{generator['n_stray']:,} outside a call, longest stall {generator['longest_stall_ms']} ms",
    )
    console.print(table)
    verdict = result["verdict"]
    for text in verdict["missed"]:
        console.print(f"[red]missed[/]  {text}")
    for text in verdict["doubts"]:
        console.print(f"[yellow]doubt[/]   {text}")
    if verdict["passed"]:
        console.print(
            "[green]passed[/]  every stated limit: 0 failed, 0 lost, agent free to INVITE p99 <= "
            f"{AGENT_FREE_P99_MS:g} ms"
        )


def _rows(table: Table, name: str, seen: dict[str, Any]) -> None:
    causes = ", ".join(f"{n} {cause}" for cause, n in seen["failed"].items())
    table.add_section()
    table.add_row(
        f"{name}: calls",
        f"{seen['n_calls']}, {seen['n_talks']} conversations, {seen['n_failed']} failed"
        + (f" ({causes})" if causes else ""),
    )
    for key, text in (
        ("invite_to_200_ms", "INVITE -> 200 at the caller"),
        ("invite_to_agent_invite_ms", "INVITE -> agent's phone rings"),
        ("answer_to_audio_ms", "agent answers -> caller hears"),
        ("agent_free_to_invite_ms", "agent free -> next INVITE"),
    ):
        if figures := seen.get(key):
            table.add_row(
                text,
                "  ".join(f"{p} {figures[p]:.1f}" for p in ("p50", "p95", "p99", "max")) + f" ms  (n {figures['n']})",
            )
    rtp = seen["rtp"]
    table.add_row(
        "RTP heard end to end",
        f"{rtp['heard']:,}: {rtp['lost']} lost ({rtp['lost_early']} in the first second), {rtp['late']} late, "
        f"{rtp['out_of_order']} out of order, {rtp['duplicate']} double, {rtp['without_stamp']} without audio",
    )
    table.add_row(
        "RTP sent by the switch",
        f"{rtp['wire_lost']} lost, {rtp['wire_late']} late, {rtp['wire_out_of_order']} out of order",
    )
    for key, text in (
        ("caller_hears_ms", "mouth to ear, at the caller"),
        ("agent_hears_ms", "mouth to ear, at the agent"),
    ):
        if figures := rtp.get(key):
            table.add_row(text, "  ".join(f"{p} {value:.1f}" for p, value in figures.items()) + " ms")
    if "n_served_later_first" in seen:
        table.add_row("served after a later one", str(seen["n_served_later_first"]))
    if cpu := seen.get("cpu"):
        if "engine_cores" in cpu:
            threads = ", ".join(f"{thread} {cores:.2f}" for thread, cores in cpu["engine_cores_by_thread"].items())
            table.add_row(
                "engine CPU",
                f"{cpu['engine_cpu_s_per_1000_call_s']} s per 1,000 call-s; "
                f"{cpu['engine_cores']} cores at {cpu['conversations']} conversations ({threads})",
            )
        table.add_row(
            "generator CPU",
            f"{cpu['generator_cores']} cores; other programs {cpu['others_cores']}, stolen {cpu['stolen_percent']} %",
        )
    if memory := seen.get("memory"):
        table.add_row(
            "engine RSS",
            f"{memory['rss_per_conversation_kb']} kB a conversation, {memory['rss_per_leg_kb']} a leg; "
            f"{memory['rss_idle_kb'] // 1024} MB idle, {memory['rss_kb'] // 1024} MB under load",
        )
        table.add_row(
            "descriptors",
            f"{memory['descriptors_idle']} idle, {memory['descriptors']} under load, "
            f"{memory['descriptors_after']} after",
        )
