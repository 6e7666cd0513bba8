"""The media socket of a party that SIPp signals for: it says a tone in G.711 A-law, by a plan if wanted, and keeps what
it hears.
"""

import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from tests.live import ear
from tests.live.floor import HOST

FRAME, RATE, FRAME_S = 160, 8000, 0.02
A_LAW, COMFORT_NOISE = 8, 13  # RTP payload types (RFC 3551 section 6)
NOISE_LEVEL = bytes([60])  # -60 dBov (RFC 3389 section 3.1)


def a_law(samples: np.ndarray) -> bytes:
    """ITU-T G.711, for samples from -1 to 1."""
    whole = np.clip(np.abs(samples) * 4096, 0, 4095).astype(int)
    segment = np.maximum(0, np.floor(np.log2(np.maximum(whole, 1))).astype(int) - 4)
    mantissa = np.where(segment == 0, whole >> 1, whole >> np.maximum(segment, 1)) & 0x0F
    return bytes(((segment << 4 | mantissa | np.where(samples >= 0, 0x80, 0)) ^ 0x55).astype(np.uint8))


def from_a_law(data: bytes) -> np.ndarray:
    code = np.frombuffer(data, np.uint8).astype(int) ^ 0x55
    segment, mantissa = code >> 4 & 7, code & 0x0F
    whole = np.where(segment == 0, 2 * mantissa + 1, (2 * mantissa + 33) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, 1, -1) * whole / 4096


class Voice:
    """`plan(frame)` says what goes out in a frame of 20 ms: "tone", "noise" (one comfort noise packet, RFC 3389) or
    nothing; without one always the tone. It begins when the first packet of the switch is there, or with speak_to()."""

    def __init__(self, says: int, address: str = HOST, plan: Callable[[int], str] = lambda frame: "tone") -> None:
        self._says, self._plan = says, plan
        self._socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self._socket.settimeout(FRAME_S / 4)
        self.port: int = self._socket.getsockname()[1]
        self._heard: list[bytes] = []
        self._engine: Any = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._socket.close()

    def speak_to(self, address: str, sdp: str) -> None:
        """`sdp`: text with the switch's SDP, and perhaps this one's own."""
        ports = {int(port) for port in re.findall(r"^m=audio (\d+)", sdp, re.MULTILINE)} - {self.port}
        self._engine = address, ports.pop()

    def heard(self) -> ear.Sound:
        return ear.Sound(np.concatenate([np.zeros(1), *(from_a_law(one) for one in self._heard)]), RATE)

    def _run(self) -> None:
        began, frame, n_sent = 0.0, 0, 0
        while not self._is_over.is_set():
            with contextlib.suppress(TimeoutError):
                packet, self._engine = self._socket.recvfrom(2000)
                if packet[1] & 0x7F == A_LAW:
                    self._heard.append(packet[12:])
            began = began or (time.monotonic() if self._engine else 0.0)
            while began and time.monotonic() >= began + frame * FRAME_S:
                what = self._plan(frame)
                if what:
                    n_sent += 1
                    kind, data = (COMFORT_NOISE, NOISE_LEVEL) if what == "noise" else (A_LAW, self._tone(frame))
                    head = struct.pack("!BBHII", 0x80, kind, n_sent, frame * FRAME, 0x70CE)
                    self._socket.sendto(head + data, self._engine)
                frame += 1

    def _tone(self, frame: int) -> bytes:
        at = np.arange(frame * FRAME, (frame + 1) * FRAME) / RATE
        return a_law(ear.LEVEL * np.sin(2 * np.pi * self._says * at))
