"""What media may ask of PJMEDIA, on one page. Implemented in ports.pyx over the C ports.

Engine thread only. Failures raise MediaError with PJMEDIA's words. A slot is a port of
the conference bridge, a stream is pjsua's number of a call.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.media.rings import Ring

Samples = npt.NDArray[np.int16]

# ---- the conference bridge

def clock_rate() -> int:
    """Hz of the bridge. Every sound must be at this rate."""

def connect(source: int, listener: int) -> None:
    """Slot to slot, one way, from the bridge's next frame on. A slot that is gone is no error: its leg hung up,
    and that news is on its way."""

def disconnect(source: int, listener: int) -> None:
    """Slots that are gone are no error."""

def n_slots() -> int:
    """Ports in the bridge, without its own port 0. Ports leave it asynchronously, within a frame."""

def pool_use(named: bytes = b"") -> tuple[int, int]:
    """PJSIP's memory pools in use whose name begins so: how many, bytes."""

# ---- past the bridge

def relay(stream: int, slot: int, other: int, other_slot: int) -> bool:
    """The two legs hear each other's packets directly, until one of them is linked or fed again. False: one of them
    must stay with the bridge (SRTP, not G.711, held, its keys are heard in its audio). See rtp_leg.h."""

def bridge_again(stream: int) -> None:
    """What this leg hears, and the leg that it was relayed to, comes from the bridge. Twice is once."""

def rtp_counts(stream: int) -> tuple[str, int, int, int] | None:
    """Whence comes what the leg hears ("bridge", "leg", "queue audio"); packets sent, received, and refused because
    they came from a third address. None: it has no stream."""

# ---- queue audio

class Sound:
    """Mono samples at the bridge's rate."""

    def __init__(self, samples: Samples) -> None: ...
    def __len__(self) -> int: ...

class QueueAudio:
    """Looping music with prompts over it, for one leg. See queue_audio_port.h."""

    def __init__(self, leg: int) -> None: ...
    @property
    def slot(self) -> int:
        """In the bridge, which it enters when this is first asked for."""

    def feed(self, stream: int, slot: int) -> bool:
        """The leg hears it directly, until it is linked again; False: as for relay(). Not in the bridge at the same
        time, and bridge_again() before it is closed."""

    def set_music(self, music: Sound | None) -> None:
        """From its beginning, faded in; None fades it out over 5 ms. It is kept alive until the port is gone."""

    def play(self, sounds: Sequence[Sound], play: int) -> None:
        """After what is queued; at most 256 wait at once. take_news() tells the end of the last one. The sounds are
        kept alive until then, or until the port is gone."""

    def cancel(self) -> None:
        """All prompts, fading over 5 ms; no news."""

    def mute(self) -> None:
        """Not a sample from the next frame on."""

    def close(self) -> None:
        """Not a sample from the next frame on; the port leaves the bridge. Twice is once."""

def take_news() -> Sequence[tuple[int, int]]:
    """(leg, play) of each play whose last sample was taken."""

def take_keys() -> Sequence[tuple[int, str]]:
    """(stream, key) of the keys that were heard in the audio of calls without telephone-event, as far as take_news()
    has come across them."""

def keys_in(samples: Samples, rate: int) -> str:
    """For tests: what a tap hears in them, frame by frame of 20 ms."""

def n_held() -> int:
    """Prompts and files kept alive for ports that may yet read them."""

# ---- silence

def allow_silence(silent_s: float, held_s: float) -> None:
    """After how long without RTP or RTCP take_silent() tells of a call; `held_s`: where none is expected. 0: never."""

def take_silent() -> Sequence[int]:
    """Streams of answered calls that are silent for too long. Looks once a second, and else costs next to nothing."""

# ---- recording

RECORDABLE: int  # among pjsua's flags of a call: it is tapped as if it had come in
CALL: int  # both sides of a leg
MESSAGE: int  # what the leg says, on the left; the right is silent

def install_tap() -> None:
    """Into the stream of every call that comes in, or is made to a customer, from now on. Twice is once."""

def uninstall_tap() -> None: ...
def n_taps(stream: int) -> int: ...
def tap_rate(stream: int) -> int:
    """Hz of the leg's codec; 0 if it has no tap."""

def record(stream: int, which: int, ring: Ring | None) -> None:
    """`which` is CALL or MESSAGE. From the next frame on, through re-INVITEs, until another ring of its kind or None
    comes. MediaError if the stream has no tap."""
