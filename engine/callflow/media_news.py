"""What the media room has to tell of legs and recordings, in the past tense. It is for the conductor alone: what a call
learns of it is an event (events.py). Counterparts: engine/media, which tells; conductor.py, which hears.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LegPlayed:
    """The leg has taken the last sample of the prompts numbered `play`; the call learns it as PlayFinished."""

    leg: int
    play: int


@dataclass(frozen=True, slots=True)
class LegKey:
    """A key was heard in the audio of a leg that has no other way to send it; the call learns it as CallerDigit."""

    leg: int
    key: str


@dataclass(frozen=True, slots=True)
class LegSilent:
    """Nothing was heard of an answered leg for so long that its far side must be gone: neither RTP nor RTCP."""

    leg: int


@dataclass(frozen=True, slots=True)
class RecordingClosed:
    """A recording is complete on disk."""

    leg: int
    path: str
    seconds: float
    n_overruns: int  # times the ring was full or the engine got no CPU; each is silence of the same length in the file
    lost_s: float  # seconds that should be audio: silence in the file, or not in it where the disk did not take them


@dataclass(frozen=True, slots=True)
class MessageClosed:
    """A message is complete on disk."""

    leg: int
    path: str
    seconds: float
    speech_s: float  # how much of it was louder than a line on which nobody speaks


@dataclass(frozen=True, slots=True)
class RecordingTrouble:
    """The disk does not take a recording: full, frozen, gone. The call is unharmed."""

    leg: int
    path: str
    text: str


MediaNews = LegPlayed | LegKey | LegSilent | RecordingClosed | RecordingTrouble | MessageClosed
