"""The two channels of a recording keep the same time: what lies at one place on the left and on the right is what the
agent and the caller heard at one moment, within 20 ms, through lost packets, silence and a stretch without any packet.

SIPp does the signalling; the RTP comes from here and goes to here. Both parties beep. A beep of the caller is on the
left channel and in the RTP to the agent, one of the agent on the right and in the RTP to the caller. The difference of
the two is the place of the recording's beginning in our own clock, and must be the same for every beep of either. (When
a beep was sent says nothing: each leg's jitter buffer delays it as the network needs.)
"""

import io
import itertools
import re
import socket
import struct
import threading
import time

import numpy as np
import pytest
import soundfile

from tests.live.floor import HOST
from tests.live.phones import AGENT_PORTS, STAYS
from tests.sip.peers import bye_from_phone, got, invite, pause, reply, sdp

FRAME_S, RATE = 0.020, 8000
N = int(FRAME_S * RATE)
BEEP_EVERY, BEEP_LASTS = 25, 3  # frames
ALIGNED_S = 0.020
CALLER_RTP, AGENT_RTP = 32900, 32902


def a_law(samples):
    with soundfile.SoundFile(encoded := io.BytesIO(), "w", RATE, 1, "ALAW", format="RAW") as file:
        file.write(samples)
    return encoded.getvalue()


def decoded(payload):
    return soundfile.read(io.BytesIO(payload), samplerate=RATE, channels=1, subtype="ALAW", format="RAW")[0]


BEEP = a_law(0.5 * np.sin(2 * np.pi * 1000 * np.arange(N) / RATE))
QUIET = a_law(np.zeros(N))


class Party:
    """One side's RTP (RFC 3550), G.711 A-law, both ways."""

    def __init__(self, port, to):
        self._to = (HOST, to)
        self._packets = []  # (seconds of our clock, time stamp, payload)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, port))
        self._socket.settimeout(0.5)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def send(self, frame):
        payload = BEEP if frame % BEEP_EVERY < BEEP_LASTS else QUIET
        self._socket.sendto(struct.pack("!BBHII", 0x80, 8, frame & 0xFFFF, frame * N, self._to[1]) + payload, self._to)

    def _listen(self):
        """Until nothing comes any more."""
        while True:
            try:
                packet = self._socket.recv(2048)
            except TimeoutError:
                return
            self._packets.append((time.monotonic(), struct.unpack("!I", packet[4:8])[0], packet[12:]))

    def heard_beeps(self):
        """Seconds of our clock, from the switch's own time stamps: the least delayed packet places them."""
        self._thread.join()
        self._socket.close()
        first = self._packets[0][1]
        place = min(at - (stamp - first) / RATE for at, stamp, _ in self._packets)
        sound = np.zeros(self._packets[-1][1] - first + N)
        for _, stamp, payload in self._packets:
            sound[stamp - first : stamp - first + N] = decoded(payload)
        return place + onsets(sound)


def media_port(sipp, begin):
    """Where the switch wants the RTP of this message's dialog."""
    log = (sipp.folder / "messages.log").read_text()
    (port,) = re.findall(rf"received[^\n]*\n\n{begin}.*?m=audio (\d+)", log, re.DOTALL)[:1]
    return int(port)


def onsets(channel):
    """Seconds at which a beep begins after a stretch of quiet."""
    (loud,) = np.nonzero(np.abs(channel) > 0.1)
    return loud[np.diff(loud, prepend=-RATE) > RATE // 5] / RATE


def starts_of(beeps, heard):
    """Where the recording begins in our clock, by each beep on a channel; the last ones surely belong together."""
    n = min(len(beeps), len(heard))
    return heard[-n:] - beeps[-n:]


def test_channels_are_aligned(floor):
    answer = (got("INVITE"), reply(200, sdp("8", port=str(AGENT_RTP))), got("ACK"))
    phone = floor.sipp_phone(AGENT_PORTS["1001"], *answer, pause(8500), bye_from_phone(), got(200))
    floor.daemon.seat("1001")
    calling = floor.sipp_calls("100", "6501", invite(sdp("8", port=str(CALLER_RTP))), *STAYS)
    floor.daemon.until_state("TALKING")
    caller = Party(CALLER_RTP, media_port(calling, "SIP/2.0 200"))
    agent = Party(AGENT_RTP, media_port(phone, "INVITE"))
    began = time.monotonic()
    for frame in itertools.count():
        if phone.is_done():
            break
        seconds, is_beep = frame * FRAME_S, frame % BEEP_EVERY < BEEP_LASTS
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        # From 2 to 4 s the caller loses a packet in seven; from 4.1 to 5.4 s nothing comes from the agent, who later
        # loses one in five.
        if is_beep or not (2 < seconds < 4 and frame % 7 == 0):
            caller.send(frame)
        if not 4.1 < seconds < 5.4 and (is_beep or not (seconds > 6 and frame % 5 == 0)):
            agent.send(frame)
    calling.wait(5)
    left, right = (onsets(channel.samples) for channel in floor.daemon.recording(floor.daemon.cdr("6501")))

    of_left, of_right = starts_of(left, agent.heard_beeps()), starts_of(right, caller.heard_beeps())
    print("left", (1000 * (of_left - of_left[-1])).round(1), "right", (1000 * (of_right - of_left[-1])).round(1))
    assert len(of_left) >= 14 and len(of_right) >= 11
    both = np.concatenate((of_left, of_right))
    assert both.max() - both.min() <= ALIGNED_S


def test_recording_is_as_long_as_the_call(floor):
    """From the answer to the end, prompt and wait and talk."""
    agent = floor.agent()
    calling = floor.call("6502", "101")
    agent.wait_for("CALL_ESTABLISHED")
    floor.talk_for(1.5)
    calling.hang_up()
    cdr = floor.daemon.cdr("6502")
    left, right = floor.daemon.recording(cdr)
    answered_s = (cdr["ended_at"] - cdr["answered_at"]).total_seconds()
    assert left.seconds == right.seconds == pytest.approx(answered_s, abs=0.060)
    (recording,) = cdr["recordings"]
    assert (recording["n_overruns"], recording["lost_s"]) == (0, 0)
    assert cdr["call"] in recording["path"], "the file names the call"
