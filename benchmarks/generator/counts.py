"""What the RTP source counts, as dictionaries: the structs of rtp_source.h, where each count is explained."""

from typing import TypedDict


class Sequence(TypedDict):
    lost: int
    duplicate: int
    out_of_order: int


class StreamResult(TypedDict):
    """Counts of packets. Times `_ns` are real time, 0 if it never happened."""

    id: int
    n_sent: int
    last_sent: int
    last_heard: int
    n_received: int
    n_stamped: int
    n_before: int
    n_hole: int
    n_after: int
    n_silent: int
    n_other: int
    n_crossed: int
    n_moved: int
    n_lost_early: int
    n_late: int
    n_wire_late: int
    n_ssrc: int
    heard: int
    first_packet_ns: int
    first_stamp_ns: int
    last_stamp_ns: int
    latency_min_us: int
    latency_max_us: int
    jitter_us: int
    sent_jitter_us: int
    wire: Sequence
    stamps: Sequence


class Totals(TypedDict):
    n_sent: int
    n_received: int
    n_rtcp: int
    n_stray: int
    n_send_errors: int
    n_dropped: int
    n_ticks: int
    n_late_ticks: int
    longest_stall_ms: int
    n_open: int
