"""The generator must see what a switch does to the audio: each fault is made by a relay between two of its streams.

The clean relay is the control of the others: without a fault nothing may be reported.
"""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from benchmarks.generator.counts import StreamResult
from benchmarks.generator.source import BUCKET_S, RtpSource

ROOT = Path(__file__).parents[2]
IP = "127.0.0.30"
CALLER_PORT, AGENT_PORT, RELAY_PORT, KEY_PORT = 40900, 50900, 41000, 40950
PCMA, PCMU = 8, 0
SECONDS = 2.5

Fault = Callable[["Relay", int, bytes], None]


class Relay(asyncio.DatagramProtocol):
    """Two ports; what comes to one leaves by the other. Packets that go to the agent pass the fault first."""

    def __init__(self, fault: Fault) -> None:
        self.fault, self.n, self.held = fault, 0, b""
        self.transports: list[asyncio.DatagramTransport] = []

    async def start(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        for offset in (0, 2):
            make_side = partial(_Side, self, offset == 0)
            transport, _ = await loop.create_datagram_endpoint(make_side, local_addr=(IP, port + offset))
            self.transports.append(transport)

    def to_agent(self, packet: bytes) -> None:
        self.transports[1].sendto(packet, (IP, AGENT_PORT))

    def to_caller(self, packet: bytes) -> None:
        self.transports[0].sendto(packet, (IP, CALLER_PORT))


class _Side(asyncio.DatagramProtocol):
    def __init__(self, relay: Relay, is_callers: bool) -> None:
        self.relay, self.is_callers = relay, is_callers

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        if self.is_callers:
            self.relay.n += 1
            self.relay.fault(self.relay, self.relay.n, data)
        else:
            self.relay.to_caller(data)


foreign = b""  # the newest frame of the clean relay's caller


def clean(relay: Relay, n: int, packet: bytes) -> None:
    global foreign
    foreign = packet[12:]
    relay.to_agent(packet)


def lose(relay: Relay, n: int, packet: bytes) -> None:
    if n % 10:
        relay.to_agent(packet)


def double(relay: Relay, n: int, packet: bytes) -> None:
    relay.to_agent(packet)
    if n % 10 == 0:
        relay.to_agent(packet)


def swap(relay: Relay, n: int, packet: bytes) -> None:
    if n % 10 == 0:
        relay.held = packet
    else:
        relay.to_agent(packet)
        if relay.held:
            relay.to_agent(relay.held)
            relay.held = b""


def delay(relay: Relay, n: int, packet: bytes) -> None:
    late_s = 0.08 if n % 10 == 0 else 0.0
    asyncio.get_running_loop().call_later(late_s, relay.to_agent, packet)


def silence(relay: Relay, n: int, packet: bytes) -> None:
    relay.to_agent(packet[:12] + b"\xd5" * 160 if n % 10 == 0 else packet)


def drop_and_renumber(relay: Relay, n: int, packet: bytes) -> None:
    """As a switch that loses audio inside and numbers what it sends without a gap."""
    if n % 10:
        number = n - n // 10
        relay.to_agent(packet[:2] + number.to_bytes(2, "big") + packet[4:])


def another_source(relay: Relay, n: int, packet: bytes) -> None:
    relay.to_agent(packet[:8] + (b"\0\0\0\7" if n > 60 else packet[8:12]) + packet[12:])


def cross(relay: Relay, n: int, packet: bytes) -> None:
    relay.to_agent(packet[:12] + foreign if n % 10 == 0 else packet)


FAULTS: list[Fault] = [clean, lose, double, swap, delay, silence, drop_and_renumber, another_source, cross]


def collected(source: RtpSource, n: int) -> list[StreamResult]:
    """The results of n closed streams, as soon as the source's own thread has closed them."""
    results: list[StreamResult] = []
    until = time.monotonic() + 10
    while len(results) < n and time.monotonic() < until:
        time.sleep(0.005)
        results += source.collect()
    assert len(results) == n
    return results


@pytest.fixture(scope="module")
def heard() -> Iterator[dict[str, StreamResult]]:
    """What the agent of each faulty relay heard, all run at once; `clean back` is what the clean one's caller heard."""
    source = RtpSource(max_streams=64)
    caller_socket, agent_socket = source.add_socket(IP, CALLER_PORT, 0), source.add_socket(IP, AGENT_PORT, 1)
    source.start()

    async def run() -> None:
        slots = []
        relays = []
        for index, fault in enumerate(FAULTS):
            relay, port = Relay(fault), RELAY_PORT + 4 * index
            await relay.start(port)
            relays.append(relay)
            slots.append(source.open(100 + index, caller_socket, IP, port, PCMA))
            slots.append(source.open(200 + index, agent_socket, IP, port + 2, PCMA))
        await asyncio.sleep(SECONDS)
        for slot in slots:
            source.close(slot)
        await asyncio.sleep(0.1)
        for relay in relays:
            for transport in relay.transports:
                transport.close()

    asyncio.run(run())
    results = {result["id"]: result for result in collected(source, 2 * len(FAULTS))}
    yield {fault.__name__: results[200 + index] for index, fault in enumerate(FAULTS)} | {"clean back": results[100]}
    source.stop()


def test_a_clean_relay_shows_no_fault(heard: dict[str, StreamResult]) -> None:
    for name in ("clean", "clean back"):
        result = heard[name]
        assert result["n_stamped"] > 100 and result["n_received"] == result["n_stamped"]
        assert result["stamps"] == result["wire"] == {"lost": 0, "duplicate": 0, "out_of_order": 0}
        # Late is left out: that is a matter of the machine.
        faults = "n_before n_hole n_after n_silent n_other n_crossed n_moved n_lost_early".split()
        assert {name: result[name] for name in faults if result[name]} == {}  # type: ignore[literal-required]
        assert result["n_ssrc"] == 1
    assert heard["clean"]["heard"] == 100 and heard["clean back"]["heard"] == 200


def test_lost_packets_are_counted_exactly(heard: dict[str, StreamResult]) -> None:
    result = heard["lose"]
    n_tenths = result["last_heard"] // 10
    assert n_tenths >= 10
    assert result["stamps"]["lost"] == result["wire"]["lost"] == n_tenths
    assert result["n_stamped"] + n_tenths == result["last_heard"] + 1


def test_doubles_are_not_taken_for_more(heard: dict[str, StreamResult]) -> None:
    result = heard["double"]
    assert result["stamps"]["lost"] == 0
    assert result["stamps"]["duplicate"] == result["wire"]["duplicate"] >= 10


def test_a_swapped_packet_is_out_of_order_and_not_lost(heard: dict[str, StreamResult]) -> None:
    result = heard["swap"]
    assert result["stamps"]["lost"] == result["wire"]["lost"] <= 1  # one may be held when it ends
    assert result["stamps"]["out_of_order"] >= 10


def test_late_packets_are_late_by_stamp_and_by_wire(heard: dict[str, StreamResult]) -> None:
    result = heard["delay"]
    assert result["n_late"] >= 10 and result["n_wire_late"] >= 10
    assert result["latency_max_us"] - result["latency_min_us"] >= 70_000


def test_silence_in_the_middle_is_a_hole(heard: dict[str, StreamResult]) -> None:
    result = heard["silence"]
    assert result["n_hole"] >= 10 and result["n_silent"] >= result["n_hole"]
    assert result["wire"]["lost"] == 0 and result["stamps"]["lost"] == result["n_hole"]


def test_audio_lost_inside_shows_though_the_wire_is_whole(heard: dict[str, StreamResult]) -> None:
    result = heard["drop_and_renumber"]
    assert result["wire"]["lost"] == 0
    assert result["stamps"]["lost"] >= 10


def test_a_new_source_is_counted_and_loses_nothing(heard: dict[str, StreamResult]) -> None:
    result = heard["another_source"]
    assert result["n_ssrc"] == 2
    assert result["wire"]["lost"] == result["stamps"]["lost"] == 0


def test_another_callers_audio_is_told(heard: dict[str, StreamResult]) -> None:
    result = heard["cross"]
    assert result["n_crossed"] >= 10
    assert result["heard"] == 100 + FAULTS.index(cross)


def test_latencies_are_kept_by_the_side_that_hears() -> None:
    source = RtpSource(max_streams=8)
    one, two = source.add_socket(IP, CALLER_PORT + 10, 0), source.add_socket(IP, AGENT_PORT + 10, 1)
    source.start()
    agent = source.open(3, two, IP, CALLER_PORT + 10, PCMU, remote_ssrc=1)
    caller = source.open(1, one, IP, AGENT_PORT + 10, PCMU, remote_ssrc=3)
    time.sleep(0.4)
    source.close(caller)
    source.close(agent)
    n_stamped = {result["id"]: result["n_stamped"] for result in collected(source, 2)}
    source.stop()
    assert n_stamped[1] > 10 and n_stamped[3] > 10
    assert [sum(source.latencies(side)) for side in (0, 1)] == [n_stamped[1], n_stamped[3]]
    assert max(index for index, n in enumerate(source.latencies(1)) if n) * BUCKET_S < 0.5


def test_a_taken_port_is_named() -> None:
    source, other = RtpSource(8), RtpSource(8)
    source.add_socket(IP, CALLER_PORT + 20, 0)
    with pytest.raises(OSError, match=f"RTP port {IP}:{CALLER_PORT + 20}"):
        other.add_socket(IP, CALLER_PORT + 20, 0)


def test_streams_are_a_limited_number() -> None:
    source = RtpSource(max_streams=2)
    socket = source.add_socket(IP, CALLER_PORT + 30, 0)
    source.start()
    slots = [source.open(n, socket, IP, 9, PCMA) for n in (1, 2)]
    with pytest.raises(OSError):
        source.open(3, socket, IP, 9, PCMA)
    source.close(slots[0])
    assert [result["id"] for result in collected(source, 1)] == [1]
    source.open(3, socket, IP, 9, PCMA)
    source.stop()


def test_a_key_goes_out_as_one_event_and_audio_goes_on_after_it() -> None:
    """RFC 4733 section 2.5.1: one timestamp, a growing duration, the end three times, marker on the first packet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far_end:
        far_end.bind((IP, RELAY_PORT))
        far_end.settimeout(5)
        source = RtpSource(max_streams=4)
        slot = source.open(9, source.add_socket(IP, KEY_PORT, 0), IP, RELAY_PORT, PCMA)
        source.start()
        packets = [far_end.recv(512) for _ in range(5)]
        source.press(slot, "#", 101)
        while len(packets) < 30:
            packets.append(far_end.recv(512))
        source.stop()
    keys = [packet for packet in packets if packet[1] & 0x7F == 101]
    assert [packet[1] >> 7 for packet in keys] == [1, 0, 0, 0, 0, 0, 0]
    assert len({packet[4:8] for packet in keys}) == 1
    events = [(packet[12], packet[13] >> 7, int.from_bytes(packet[14:16], "big")) for packet in keys]
    assert events == [(11, 0, 160), (11, 0, 320), (11, 0, 480), (11, 0, 640), *3 * [(11, 1, 800)]]
    numbers = [int.from_bytes(packet[2:4], "big") for packet in packets]
    assert numbers == list(range(len(packets)))
    times = [int.from_bytes(packet[4:8], "big") for packet in packets if packet not in keys]
    assert {(after - before) % 2**32 for before, after in zip(times, times[1:], strict=False)} == {160, 8 * 160}


@pytest.mark.parametrize("key", ["", "12", "x"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="no key of a telephone"):
        RtpSource(max_streams=4).press(0, key, 101)


SPEAKER = """
import sys, time
from benchmarks.generator.source import RtpSource
ip, port, to = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
source = RtpSource(max_streams=4)
slot = source.open(9, source.add_socket(ip, port, 0), ip, to, 8)
source.start()
print("speaks", flush=True)
sys.stdin.readline()
source.close(slot)
time.sleep(0.05)
print(source.collect()[0]["sent_jitter_us"])
"""


def sent_jitter_us(stopped_s: float) -> int:
    """Of a source in a process of its own that is stopped for a while, as a busy machine does it."""
    command = [sys.executable, "-c", SPEAKER, IP, str(KEY_PORT + 2), str(RELAY_PORT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as speaker:
        assert speaker.stdout and speaker.stdout.readline() == "speaks\n"
        time.sleep(0.5)
        if stopped_s:
            speaker.send_signal(signal.SIGSTOP)
            time.sleep(stopped_s)
            speaker.send_signal(signal.SIGCONT)
            time.sleep(0.05)  # it speaks again
        return int(speaker.communicate("\n")[0])


def test_a_source_that_was_held_up_is_known_by_its_pace() -> None:
    """One packet 0.4 s late is a jitter of 25 ms, a sixteenth of it (RFC 3550 section 6.4.1), and then less."""
    assert sent_jitter_us(0.0) < 10_000 < sent_jitter_us(0.4)
