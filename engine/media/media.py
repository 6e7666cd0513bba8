"""The face of the media room: what each leg hears, who hears whom, what is recorded. Implements the door `Media` of
engine/doors.py.

Legs are the conductor's numbers. A leg is known here from its first mention to detach(); what is asked before its
stream stands takes effect when it does. Engine thread only, after the pjsua library has started.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.callflow.errors import MediaError
from engine.callflow.events import LegPlayed, RecordingClosed, RecordingTrouble
from engine.media import ports
from engine.media.mixer import Mixer
from engine.media.recorder import Recorder
from engine.media.sounds import Sounds


@dataclass(slots=True)
class Leg:
    """What one leg has. Its queue audio is a party of the mixer by itself: queue_audio(leg)."""

    stream: int | None = None  # pjsua's number of the call
    queue_audio: ports.QueueAudio | None = None
    has_music: bool = False
    plays: set[int] = field(default_factory=set)  # asked for and not ended
    to_record: Path | None = None  # its stream does not stand yet
    is_recorded: bool = False


def queue_audio(leg: int) -> tuple[str, int]:
    return "queue audio", leg


class Media:
    def __init__(self, sounds: Sounds, recording_rate: int = 8000) -> None:
        """`sounds` must be at the bridge's rate; recordings are written at `recording_rate` Hz."""
        if sounds.rate != ports.clock_rate():
            raise MediaError(f"the sounds are at {sounds.rate} Hz and the conference bridge at {ports.clock_rate()} Hz")
        self._prompts = {key: ports.Sound(samples) for key, samples in sounds.prompts.items()}
        self._music = {name: ports.Sound(samples) for name, samples in sounds.music.items()}
        self._mixer = Mixer(ports.connect, ports.disconnect)
        self._recorder = Recorder(recording_rate)
        self._legs: dict[int, Leg] = {}
        self._troubles: list[RecordingTrouble] = []
        ports.install_tap()

    # ---- a leg's life

    def attach(self, leg: int, slot: int, stream: int) -> None:
        """The leg's stream stands, or was rebuilt by a re-INVITE in another slot."""
        state = self._leg(leg)
        state.stream = stream
        self._mixer.place(leg, slot)
        if state.to_record is not None:
            path, state.to_record = str(state.to_record), None
            try:
                self.record(leg, path)
            except MediaError as error:
                self._troubles.append(RecordingTrouble(leg, path, str(error)))

    def detach(self, leg: int) -> None:
        """The leg is gone: nothing stays of it but the end of its recording, which poll() tells. Twice is once."""
        state = self._legs.get(leg)
        if state is None:
            return
        self.stop_record(leg)
        self._drop_queue_audio(leg, state)
        self._mixer.remove(leg)
        del self._legs[leg]

    # ---- what a leg hears while it waits

    def play(self, leg: int, prompts: Sequence[str], play: int, language: str) -> None:
        """One prompt after the other, over the music if there is any. LegPlayed(leg, play) comes when the leg has taken
        the last sample, and never comes for a play that was stopped. MediaError: no such prompt, or more than 64 at
        once."""
        missing = [name for name in prompts if (language, name) not in self._prompts]
        if missing:
            raise MediaError(f"no prompt {', '.join(missing)} in language {language}")
        state = self._leg(leg)
        self._queue_audio(leg, state).play([self._prompts[language, name] for name in prompts], play)
        state.plays.add(play)

    def stop_play(self, leg: int) -> None:
        """Cut the prompts, fading over 5 ms; the music stays."""
        state = self._legs.get(leg)
        if state is not None and state.queue_audio is not None:
            state.plays.clear()
            state.queue_audio.cancel()

    def start_music(self, leg: int, music: str) -> None:
        """From its beginning, looping, until stop_music(), bridge() or detach()."""
        if music not in self._music:
            raise MediaError(f"no music {music}")
        state = self._leg(leg)
        self._queue_audio(leg, state).set_music(self._music[music])
        state.has_music = True

    def stop_music(self, leg: int) -> None:
        """Cut the music: not a sample of it from the next frame on. Prompts being played go on."""
        state = self._legs.get(leg)
        if state is None or state.queue_audio is None:
            return
        state.has_music = False
        if state.plays:
            state.queue_audio.set_music(None)
        else:
            self._drop_queue_audio(leg, state)

    # ---- who hears whom

    def bridge(self, leg: int, other: int) -> None:
        """The two hear each other, and from that frame on nothing else: music and prompts of both end before it."""
        for party in (leg, other):
            self._drop_queue_audio(party, self._leg(party))
        self._mixer.join(leg, other)
        self._mixer.join(other, leg)

    def unbridge(self, leg: int, other: int) -> None:
        self._mixer.part(leg, other)
        self._mixer.part(other, leg)

    # ---- recording

    def record(self, leg: int, path: str) -> None:
        """Record both sides of a leg that came in: left what it says, right what it hears. The format is the path's
        suffix, wav or flac; folders are made. Ends with stop_record(), detach() or another record(). MediaError: the
        leg cannot be recorded."""
        state = self._leg(leg)
        if state.stream is None:
            state.to_record = Path(path)
            return
        rate = ports.tap_rate(state.stream)
        if not rate:
            raise MediaError(f"leg {leg} has no tap: only legs that came in are recorded")
        state.to_record = None
        state.is_recorded = True
        ports.record(state.stream, self._recorder.start(leg, Path(path), rate))

    def stop_record(self, leg: int) -> None:
        """RecordingClosed follows when all is on disk."""
        state = self._legs.get(leg)
        if state is None:
            return
        state.to_record = None
        if state.is_recorded and state.stream is not None:
            state.is_recorded = False
            ports.record(state.stream, None)

    # ---- the engine's loop

    def poll(self) -> list[LegPlayed | RecordingClosed | RecordingTrouble]:
        """What happened since the last call. Costs next to nothing when nothing did."""
        events: list[LegPlayed | RecordingClosed | RecordingTrouble] = [*self._recorder.poll(), *self._troubles]
        self._troubles.clear()
        for leg, play in ports.take_news():
            state = self._legs.get(leg)
            if state is not None and play in state.plays:
                state.plays.remove(play)
                events.append(LegPlayed(leg, play))
        return events

    def n_slots(self) -> int:
        """Conference slots in use, the legs' own among them."""
        return ports.n_slots()

    def n_links(self) -> int:
        return self._mixer.n_links()

    def close(self) -> None:
        """Detach every leg and write out every recording; what that brings can still be polled. Before the pjsua
        library is destroyed."""
        for leg in list(self._legs):
            self.detach(leg)
        self._recorder.close()
        ports.uninstall_tap()

    # ---- helpers

    def _leg(self, leg: int) -> Leg:
        return self._legs.setdefault(leg, Leg())

    def _queue_audio(self, leg: int, state: Leg) -> ports.QueueAudio:
        if state.queue_audio is None:
            state.queue_audio = ports.QueueAudio(leg)
            self._mixer.place(queue_audio(leg), state.queue_audio.slot)
            self._mixer.join(queue_audio(leg), leg)
        return state.queue_audio

    def _drop_queue_audio(self, leg: int, state: Leg) -> None:
        if state.queue_audio is not None:
            state.queue_audio.close()
            state.queue_audio = None
            state.has_music = False
            state.plays.clear()
            self._mixer.remove(queue_audio(leg))
