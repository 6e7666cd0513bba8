"""A real conference bridge on PJMEDIA's null sound device, and calls to ourselves over 127.0.0.1."""

import gc
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pjsua2 as pj
import pytest

from engine.media import ports
from engine.media.media import Media
from engine.media.sounds import Sounds

RATE = 8000
FRAME = RATE // 50
SIP_PORT = 17000
MUSIC_HZ, PROMPT_HZ, CALLER_HZ, AGENT_HZ = 400, 700, 1100, 1700


def tone(hz: float, seconds: float, amplitude: float = 6000, rate: int = RATE) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hz * t)).astype(np.int16)


def tones_in(samples: np.ndarray, rate: int = RATE, at_least: float = 300) -> set[int]:
    """Which of the tests' tones are in it, by the amplitude at their frequency."""
    window = np.hanning(len(samples))
    t = np.arange(len(samples)) / rate
    found = set()
    for hz in (MUSIC_HZ, PROMPT_HZ, CALLER_HZ, AGENT_HZ):
        amplitude = 2 * abs(np.sum(samples * window * np.exp(-2j * np.pi * hz * t))) / window.sum()
        if amplitude >= at_least:
            found.add(hz)
    return found


def option(status: int = 0) -> pj.CallOpParam:
    """Audio alone. By default PJSIP offers real-time text too, whose end blocks the loop for 300 ms."""
    option = pj.CallOpParam(True)
    option.opt.videoCount = option.opt.textCount = 0
    option.statusCode = status
    return option


def stall(seconds: float) -> float:
    """All threads of this process get no CPU for so long. Returns how long it really was: more on a slow machine."""
    began = time.monotonic()
    subprocess.run(["sh", "-c", f"kill -STOP {os.getpid()}; sleep {seconds}; kill -CONT {os.getpid()}"], check=True)
    return time.monotonic() - began


class Line(pj.Call):
    """One end of a call to ourselves."""

    def __init__(self, floor: "Floor", *args) -> None:
        super().__init__(floor.account, *args)
        self.floor = floor
        self.slots: list[int] = []
        self.is_over = False

    @property
    def slot(self) -> int:
        return self.slots[-1]

    def onCallState(self, prm) -> None:
        self.is_over = self.getInfo().state == pj.PJSIP_INV_STATE_DISCONNECTED

    def onCallMediaState(self, prm) -> None:
        info = self.getInfo()  # owns its media
        for media in info.media:
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.audioConfSlot >= 0:
                self.slots.append(media.audioConfSlot)


class Account(pj.Account):
    floor: "Floor"

    def onIncomingCall(self, prm) -> None:
        line = Line(self.floor, prm.callId)
        self.floor.incoming.append(line)
        line.answer(option(200))


def account_at(address: str, told: str = "") -> pj.AccountConfig:
    """`address` of its RTP ("": any), and what SDP tells if that is another."""
    account = pj.AccountConfig()
    account.idUri = "sip:floor@127.0.0.1"
    # Else each call out asks for the address of our host name, which takes 5 s where no name server answers.
    account.mediaConfig.ipv6Use = pj.PJSUA_IPV6_DISABLED
    rtp = account.mediaConfig.transportConfig
    rtp.port, rtp.portRange, rtp.boundAddress, rtp.publicAddress = 17100, 800, address, told
    return account


class Floor:
    """The pjsua library, its loop, and calls through it."""

    def __init__(self) -> None:
        self.endpoint = pj.Endpoint()
        self.endpoint.libCreate()
        config = pj.EpConfig()
        config.logConfig.level = config.logConfig.consoleLevel = 1
        config.uaConfig.threadCnt, config.uaConfig.mainThreadOnly, config.uaConfig.maxCalls = 0, True, 64
        config.medConfig.clockRate = config.medConfig.sndClockRate = RATE
        config.medConfig.maxMediaPorts = 256
        config.medConfig.confThreads = 2
        config.medConfig.audioFramePtime = config.medConfig.ptime = 20
        config.medConfig.noVad, config.medConfig.ecTailLen, config.medConfig.sndAutoCloseTime = True, 0, -1
        self.endpoint.libInit(config)
        transport = pj.TransportConfig()
        transport.port, transport.boundAddress = SIP_PORT, "127.0.0.1"
        self.endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        self.endpoint.libStart()
        self.endpoint.audDevManager().setNullDev()
        self.set_codec("PCMA/8000/1")
        self.account = Account()
        self.account.floor = self
        self.account.create(account_at("127.0.0.1"))
        self.incoming: list[Line] = []

    def set_codec(self, wanted: str) -> None:
        for codec in self.endpoint.codecEnum2():
            self.endpoint.codecSetPriority(codec.codecId, 255 if codec.codecId == wanted else 0)

    def run(self, seconds: float) -> None:
        self.until(lambda: False, seconds)

    def until(self, is_so, timeout_s: float = 5.0) -> bool:
        end = time.monotonic() + timeout_s
        while not is_so():
            if time.monotonic() > end:
                return False
            self.endpoint.libHandleEvents(5)
        return True

    def news(self, media: Media, timeout_s: float = 3.0) -> list:
        """What the media room tells next; empty if it tells nothing in time."""
        events: list = []

        def is_told() -> bool:
            events.extend(media.poll())
            return bool(events)

        self.until(is_told, timeout_s)
        return events

    def call(self, flag: int = 0) -> tuple[Line, Line]:
        """(the end that calls, the end that is called), both with audio. `flag` is one of pjsua's for the first."""
        phone = Line(self)
        n_before = len(self.incoming)
        wish = option()
        wish.opt.flag |= flag
        phone.makeCall(f"sip:floor@127.0.0.1:{SIP_PORT}", wish)
        assert self.until(lambda: len(self.incoming) > n_before and self.incoming[-1].slots and phone.slots)
        return phone, self.incoming[-1]

    def hang_up(self, *lines: Line) -> None:
        """The first hangs up, the others follow."""
        lines[0].hangup(option())
        assert self.until(lambda: all(line.is_over for line in lines))
        self.incoming = [line for line in self.incoming if not line.is_over]

    def close(self) -> None:
        """PJSIP allows one Endpoint a process, and the next only when this object is gone."""
        self.incoming = []
        self.account.shutdown()
        gc.collect()
        self.endpoint.libDestroy()
        del self.account, self.endpoint
        gc.collect()


class Ear:
    """Writes what a slot receives into a file: PJMEDIA's own recorder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recorder = pj.AudioMediaRecorder()
        self.recorder.createRecorder(str(path))
        self.slot = self.recorder.getPortId()

    def close(self) -> None:
        self.recorder = None

    def heard(self) -> np.ndarray:
        self.close()
        time.sleep(0.1)  # until the bridge has let it go, which closes the file
        return np.frombuffer(self.path.read_bytes()[44:], np.int16)


@pytest.fixture(scope="module")
def floor() -> Iterator[Floor]:
    floor = Floor()
    yield floor
    floor.close()


@pytest.fixture(scope="session")
def sounds() -> Sounds:
    prompts = {("zh", "short"): tone(PROMPT_HZ, 0.3), ("zh", "long"): tone(PROMPT_HZ, 3.0)}
    return Sounds(RATE, prompts, {"tone": tone(MUSIC_HZ, 1.0)})  # 400 whole waves: loops without a seam


@pytest.fixture
def media(floor: Floor, sounds: Sounds) -> Iterator[Media]:
    media = Media(sounds)
    yield media
    media.close()
    assert floor.until(lambda: media.n_slots() == 0), f"{media.n_slots()} slots left"


@pytest.fixture
def ears(media: Media, tmp_path: Path) -> Iterator[list[Ear]]:
    ears = [Ear(tmp_path / f"ear{n}.wav") for n in range(2)]
    yield ears
    for ear in ears:
        ear.close()


@pytest.fixture
def ear(ears: list[Ear]) -> Ear:
    return ears[0]


@pytest.fixture
def voice(floor: Floor) -> Iterator[object]:
    """Makes endless tones: voice(hz) is a slot that sends one."""
    sending: list[tuple[ports.QueueAudio, ports.Sound]] = []

    def start(hz: float) -> int:
        sound = ports.Sound(tone(hz, 1.0))
        audio = ports.QueueAudio(-1)
        audio.set_music(sound)
        sending.append((audio, sound))
        return audio.slot

    yield start
    for audio, _ in sending:
        audio.close()
    floor.run(0.06)
