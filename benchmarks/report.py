"""A result in rows of text: on the terminal as a table, in a file as Markdown; and the progress line meanwhile."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Row = tuple[str, str]
BAR = 24

_shown_at = 0.0


def progress(title: str) -> Callable[[float, str], None]:
    """A bar on stderr, over the last one on a terminal; a line each 5 s elsewhere."""

    def show(share: float, text: str) -> None:
        full = round(BAR * share)
        say(f"{title} [{'#' * full}{'.' * (BAR - full)}] {share:4.0%}  {text}")

    return show


def say(text: str, lasting: bool = False) -> None:
    global _shown_at
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="\n" if lasting else "", file=sys.stderr, flush=True)
    elif lasting or time.monotonic() - _shown_at >= 5:
        _shown_at = time.monotonic()
        print(text, file=sys.stderr, flush=True)


def progress_done() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def title(result: dict[str, Any]) -> str:
    asked = result["parameters"]
    record = "not recorded" if asked["record"] == "none" else f"recorded as {asked['record']}"
    least, longest = asked["talk_s"]
    talk = f"{least:g} s" if least == longest else f"{least:g}-{longest:g} s"
    rate = "kept full" if asked["arrivals"] == "refill" else f"{asked['rate']:g} calls/s"
    return (
        f"{result['scenario']} on {result['switch']} {result.get('version', '')}: {asked['n_calls']} calls at once, "
        f"{rate}, {talk} talks, {asked['n_agents']} agents, {asked['codec']}, {record}"
    )


def host(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return f"{machine['cpu']}, {machine['n_cpus']} CPUs, commit {machine['commit'] or '?'}, {result['at']}"


def show(result: dict[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    table = Table(title=f"{title(result)}\n{host(result)}", show_header=False, title_justify="left")
    for name, text in rows(result):
        table.add_row(name, text)
    console.print(table)
    for text in result["verdict"]["missed"]:
        console.print(f"[red]missed[/]  {text}")
    for text in result["verdict"]["doubts"]:
        console.print(f"[yellow]doubt[/]   {text}")
    if result["verdict"]["passed"]:
        console.print(f"[green]passed[/]  {_limits(result)}")


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """A summary of all runs: a row for each, then each in full."""
    lines = ["# Benchmark", "", host(results[0]) if results else "", ""]
    lines += [
        "| Scenario | Calls | Failed | RTP lost | Set-up p99 | Engine CPU-s per 1,000 call-s | Verdict |",
        "|---|" + "--:|" * 5 + "---|",
    ]
    for result in results:
        set_up, cpu = result.get("invite_to_200_ms"), result["cpu"].get("engine_cpu_s_per_1000_call_s")
        lines.append(
            f"| {result['scenario']} | {result['n_calls']} | {result['n_failed']} | {result['rtp']['lost']} "
            f"| {_ms(set_up['p99']) if set_up else ''} | {cpu if cpu is not None else ''} "
            f"| {'passed' if result['verdict']['passed'] else 'missed'} |"
        )
    for result in results:
        lines += [
            "",
            f"## {result['scenario']}",
            "",
            title(result),
            "",
            f"![{result['scenario']}]({result['scenario']}.svg)",
            "",
        ]
        lines += ["| Figure | Measured |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows(result)), ""]
        lines += [f"* {kind}: {text}" for kind in ("missed", "doubts") for text in result["verdict"][kind]]
    return "\n".join(lines) + "\n"


def _limits(result: dict[str, Any]) -> str:
    limits = result["parameters"]["limits"] or {}
    return "every limit: " + ", ".join(f"{name} <= {value:g}" for name, value in limits.items())


def _ms(value: float) -> str:
    return f"{value:.1f} ms"


def rows(result: dict[str, Any]) -> Iterator[Row]:
    yield from _calls(result)
    yield from _times(result)
    yield from _audio(result["rtp"])
    yield from _cost(result)
    yield from _left_on_disk(result)
    generator = result["generator"]
    yield (
        "generator",
        f"{generator['n_sent']:,} RTP sent, {generator['n_received']:,} received, "
        f"{generator['n_stray']:,} outside a call, longest stall {generator['longest_stall_ms']} ms",
    )


def _calls(result: dict[str, Any]) -> Iterator[Row]:
    causes = ", ".join(f"{n} {cause}" for cause, n in result["failed"].items())
    yield (
        "calls",
        f"{result['n_calls']}, {result['n_talks']} conversations, {result['n_failed']} failed"
        + (f" ({causes})" if causes else ""),
    )
    if "start_to_ready_s" in result:
        yield (
            "start to ready",
            f"{1000 * result['start_to_ready_s']:.0f} ms with {result['parameters']['n_agents']} agents",
        )


def _times(result: dict[str, Any]) -> Iterator[Row]:
    for key, text in (
        ("invite_to_200_ms", "INVITE -> 200 at the caller"),
        ("invite_to_agent_invite_ms", "INVITE -> agent's phone rings"),
        ("answer_to_audio_ms", "agent answers -> caller hears"),
        ("agent_free_to_invite_ms", "agent free -> next INVITE"),
    ):
        if found := result.get(key):
            yield (
                text,
                "  ".join(f"{p} {found[p]:.1f}" for p in ("p50", "p95", "p99", "max")) + f" ms  (n {found['n']})",
            )
    if "n_served_later_first" in result:
        yield "served after a later one", str(result["n_served_later_first"])


def _audio(rtp: dict[str, Any]) -> Iterator[Row]:
    yield (
        "RTP heard end to end",
        f"{rtp['heard']:,}: {rtp['lost']} lost ({rtp['lost_early']} in the first second), {rtp['late']} late, "
        f"{rtp['out_of_order']} out of order, {rtp['duplicate']} double, {rtp['without_stamp']} without audio",
    )
    full = rtp["dropped_at_switch"]
    yield (
        "RTP inside the switch",
        f"{rtp['wire_lost']} lost, {rtp['wire_late']} late, {rtp['wire_out_of_order']} out of order as sent"
        + (f"; {full} dropped at its full sockets" if full is not None else ""),
    )
    if added := rtp.get("jitter_added_ms"):
        yield "jitter added", "  ".join(f"{p} {added[p]:.2f}" for p in ("p50", "p95", "p99", "max")) + " ms"
    for key, text in (
        ("caller_hears_ms", "mouth to ear, at the caller"),
        ("agent_hears_ms", "mouth to ear, at the agent"),
    ):
        if figures := rtp.get(key):
            yield text, "  ".join(f"{p} {value:.1f}" for p, value in figures.items()) + " ms"


def _cost(result: dict[str, Any]) -> Iterator[Row]:
    cpu, memory = result["cpu"], result["memory"]
    if "engine_cores" in cpu:
        yield (
            "engine CPU",
            f"{cpu['engine_cpu_s_per_1000_call_s']} s per 1,000 call-s, {cpu['engine_cpu_ms_per_call']} ms a call; "
            f"{cpu['engine_cores']} cores at {cpu['conversations']} conversations, {cpu['waiting']} waiting",
        )
        threads = ", ".join(
            f"{name} {found['cpu_s_per_1000_call_s']}" for name, found in cpu["engine_by_thread"].items()
        )
        yield "by thread, s per 1,000 call-s", threads
    if cpu:
        yield (
            "generator CPU",
            f"{cpu['generator_cores']} cores; other programs {cpu['others_cores']}, stolen {cpu['stolen_percent']} %",
        )
    if memory:
        yield (
            "engine RSS",
            f"{memory['rss_per_leg_kb']} kB a leg, {memory['rss_per_conversation_kb']} a conversation; "
            f"{memory['rss_idle_kb'] // 1024} MB idle, {memory['rss_kb'] // 1024} MB under load",
        )
        yield (
            "descriptors",
            f"{memory['descriptors_per_leg']} a leg; {memory['descriptors_idle']} idle, "
            f"{memory['descriptors']} under load, {memory['descriptors_after']} after",
        )


def _left_on_disk(result: dict[str, Any]) -> Iterator[Row]:
    if records := result.get("records"):
        dispositions = ", ".join(f"{n} {name}" for name, n in records["dispositions"].items())
        yield "CDRs", f"{records['cdrs']}: {dispositions}"
    if recordings := result.get("recordings"):
        yield (
            "recordings",
            f"{recordings['files']} files, {recordings['seconds']:,.0f} s, {recordings['mb']} MB, "
            f"{recordings['missing']} missing, {recordings['unreadable']} unreadable"
            + (f", {records['recording_overruns']} overruns, {records['recording_gaps']} with gaps" if records else ""),
        )
    if (wrong := result.get("wrong_assignments")) is not None:
        yield "assignments", f"every one audited from the trace, {len(wrong)} wrong"
