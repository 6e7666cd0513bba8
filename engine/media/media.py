"""The face of the media room: what each leg hears, who hears whom, what is recorded. Implements the door `Media` of
engine/doors.py.

Legs are the conductor's numbers. A leg is known here from its first mention to detach(); what is asked before its
stream stands takes effect when it does. Engine thread only, after the pjsua library has started.
"""

import logging
from collections import deque
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from engine.callflow.errors import MediaError
from engine.callflow.media_news import LegKey, LegPlayed, LegSilent, MediaNews, RecordingTrouble
from engine.media import ports
from engine.media.files import Files
from engine.media.mixer import Mixer
from engine.media.recorder import AudioFile, MessageFile, Recorder, RecordingFile
from engine.media.sounds import Sounds

log = logging.getLogger(__name__)

KINDS: dict[int, type[AudioFile]] = {ports.CALL: RecordingFile, ports.MESSAGE: MessageFile}


@dataclass(slots=True)
class Play:
    """One that waits for files, or for one before it that does."""

    play: int
    items: "list[ports.Sound | Future[ports.Sound | None]]"

    def is_ready(self) -> bool:
        return all(item.done() for item in self.items if isinstance(item, Future))

    def sounds(self) -> list[ports.Sound]:
        read = [item.result() if isinstance(item, Future) else item for item in self.items]
        return [sound for sound in read if sound is not None]


@dataclass(slots=True)
class Leg:
    """What one leg has. Its queue audio is a party of the mixer by itself: queue_audio(leg)."""

    stream: int | None = None  # pjsua's number of the call
    queue_audio: ports.QueueAudio | None = None
    has_music: bool = False
    plays: set[int] = field(default_factory=set)  # asked for and not ended
    reading: deque[Play] = field(default_factory=deque)  # those of them that are not ready
    to_record: dict[int, Path] = field(default_factory=dict)  # its stream does not stand yet
    recordings: dict[int, AudioFile] = field(default_factory=dict)  # CALL or MESSAGE -> file


def queue_audio(leg: int) -> tuple[str, int]:
    return "queue audio", leg


class LegWays:
    """Implements Ways for legs, known by number, and their queue audios. Past the bridge go two legs that talk, and a
    leg that hears nothing but its queue audio. Whether a leg's codec and keys allow it, its RTP says (rtp_leg.h)."""

    connect = staticmethod(ports.connect)
    disconnect = staticmethod(ports.disconnect)

    def __init__(self, legs: dict[int, Leg]) -> None:
        self._legs = legs

    def relay(self, one: Hashable, slot: int, other: Hashable, other_slot: int) -> bool:
        stream, other_stream = self._stream(one), self._stream(other)
        if stream is None or other_stream is None:
            return False
        return ports.relay(stream, slot, other_stream, other_slot)

    def feed(self, source: Hashable, listener: Hashable, slot: int) -> bool:
        stream = self._stream(listener)
        if stream is None or not isinstance(listener, int) or source != queue_audio(listener):
            return False
        audio = self._legs[listener].queue_audio
        return audio is not None and audio.feed(stream, slot)

    def end_direct(self, one: Hashable, other: Hashable) -> None:
        for party in (one, other):
            if (stream := self._stream(party)) is not None:
                ports.bridge_again(stream)

    def _stream(self, party: Hashable) -> int | None:
        leg = self._legs.get(party) if isinstance(party, int) else None
        return None if leg is None else leg.stream


class Media:
    def __init__(
        self, sounds: Sounds, recording_rate: int = 8000, silent_s: float | None = None, held_s: float | None = None
    ) -> None:
        """`sounds` must be at the bridge's rate; recordings are written at `recording_rate` Hz. LegSilent comes of an
        answered leg from which no RTP and no RTCP came for `silent_s`, or, if none is expected, `held_s`."""
        if sounds.rate != ports.clock_rate():
            raise MediaError(f"the sounds are at {sounds.rate} Hz and the conference bridge at {ports.clock_rate()} Hz")
        self._prompts: dict[tuple[str, str], ports.Sound] = {}
        self._music: dict[str, ports.Sound] = {}
        self.renew(sounds)
        self._recorder = Recorder(recording_rate)
        self._files = Files(sounds.rate)
        self._legs: dict[int, Leg] = {}
        self._mixer = Mixer(LegWays(self._legs))
        self._of_stream: dict[int, int] = {}  # pjsua's number of a call -> leg
        self._reading: set[int] = set()  # legs with plays that wait for files
        self._ended: list[tuple[int, int]] = []  # plays with nothing to hear: leg, play
        self._troubles: list[RecordingTrouble] = []
        self._dropped: list[ports.QueueAudio] = []  # to be closed once nobody hears them
        ports.install_tap()
        ports.allow_silence(silent_s or 0.0, held_s or 0.0)

    def renew(self, sounds: Sounds) -> None:
        """Other sounds from here on. What plays now goes on with those it began with, and names that are gone stay: a
        call that began before may still be told to play them."""
        self._prompts.update({key: ports.Sound(samples) for key, samples in sounds.prompts.items()})
        self._music.update({name: ports.Sound(samples) for name, samples in sounds.music.items()})

    # ---- a leg's life

    def attach(self, leg: int, slot: int, stream: int) -> None:
        """The leg's stream stands, or was rebuilt by a re-INVITE in another slot."""
        state = self._leg(leg)
        state.stream = stream
        self._of_stream[stream] = leg
        self._mixer.place(leg, slot)
        while state.to_record:
            which, path = state.to_record.popitem()
            try:
                self._record(leg, which, path)
            except MediaError as error:
                self._troubles.append(RecordingTrouble(leg, str(path), str(error)))

    def detach(self, leg: int) -> None:
        """The leg is gone: nothing stays of it but the end of its recording, which poll() tells. Twice is once."""
        state = self._legs.get(leg)
        if state is None:
            return
        for which in KINDS:
            self._stop_record(leg, which, discard=False)
        self._drop_queue_audio(leg, state)
        self._mixer.remove(leg)
        self._close_dropped()
        if state.stream is not None and self._of_stream.get(state.stream) == leg:
            del self._of_stream[state.stream]
        del self._legs[leg]

    # ---- what a leg hears while it waits

    def play(self, leg: int, items: Sequence[str | Path], play: int, language: str) -> None:
        """One prompt or file after the other, over the music if there is any. LegPlayed(leg, play) comes when the leg
        has taken the last sample, and never comes for a play that was stopped. Files are read meanwhile, and played
        when all of this play are there. MediaError: no such prompt, or more than 256 at once."""
        missing = [name for name in items if isinstance(name, str) and (language, name) not in self._prompts]
        if missing:
            raise MediaError(f"no prompt {', '.join(missing)} in language {language}")
        state = self._leg(leg)
        wanted = Play(play, [self._prompts[language, i] if isinstance(i, str) else self._files.read(i) for i in items])
        if state.reading or not wanted.is_ready():
            state.reading.append(wanted)
            self._reading.add(leg)
        else:
            self._start_play(leg, state, wanted)
        state.plays.add(play)  # not where that raised

    def stop_play(self, leg: int) -> None:
        """Cut the prompts, fading over 5 ms; the music stays."""
        state = self._legs.get(leg)
        if state is not None:
            state.plays.clear()
            state.reading.clear()
            if state.queue_audio is not None:
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
            self._close_dropped()

    # ---- who hears whom

    def bridge(self, leg: int, other: int) -> None:
        """The two hear each other, and from that frame on nothing else: music and prompts of both end before it."""
        with self._mixer.at_once():
            for party in (leg, other):
                self._drop_queue_audio(party, self._leg(party))
            self._mixer.join(leg, other)
            self._mixer.join(other, leg)
        self._close_dropped()

    def unbridge(self, leg: int, other: int) -> None:
        with self._mixer.at_once():
            self._mixer.part(leg, other)
            self._mixer.part(other, leg)

    # ---- recording

    def record(self, leg: int, path: str) -> None:
        """Record both sides of a caller's or customer's leg: left what it says, right what it hears. The format is the
        path's suffix, wav or flac; folders are made. Ends with stop_record(), detach() or another record(). A path is
        used once. MediaError: the leg cannot be recorded. One that is not begun, because too many wait for a disk
        that has stopped, ends in the same way, and all of it is lost."""
        self._record(leg, ports.CALL, Path(path))

    def stop_record(self, leg: int, discard: bool = False) -> None:
        """RecordingClosed follows when all is on disk. `discard`: the file is deleted, and nothing follows."""
        self._stop_record(leg, ports.CALL, discard)

    def record_message(self, leg: int, path: str) -> None:
        """Record what a caller's or customer's leg says, mono, beside record() and in the same way."""
        self._record(leg, ports.MESSAGE, Path(path))

    def stop_message(self, leg: int, discard: bool = False) -> None:
        """MessageClosed follows when all is on disk. `discard`: the file is deleted, and nothing follows."""
        self._stop_record(leg, ports.MESSAGE, discard)

    def delete(self, path: str) -> None:
        """Delete a file that is closed, later. A missing one is no error; one that cannot be deleted is logged."""
        self._recorder.delete(Path(path))

    def is_recording_stuck(self) -> bool:
        """The disk of the recordings has stopped in the middle of a write."""
        return self._recorder.is_stuck()

    # ---- the engine's loop

    def poll(self) -> list[MediaNews]:
        """What happened since the last call. Costs next to nothing when nothing did."""
        for leg in list(self._reading):
            self._play_what_is_read(leg)
        events: list[MediaNews] = [*self._recorder.poll(), *self._troubles]
        self._troubles.clear()
        ended, self._ended = self._ended, []
        for leg, play in (*ended, *ports.take_news()):
            state = self._legs.get(leg)
            if state is not None and play in state.plays:
                state.plays.remove(play)
                events.append(LegPlayed(leg, play))
        for stream, key in ports.take_keys():
            if stream in self._of_stream:
                events.append(LegKey(self._of_stream[stream], key))
        events += [LegSilent(self._of_stream[stream]) for stream in ports.take_silent() if stream in self._of_stream]
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
        self._files.close()
        self._recorder.close()
        ports.uninstall_tap()

    # ---- helpers

    def _leg(self, leg: int) -> Leg:
        return self._legs.setdefault(leg, Leg())

    def _queue_audio(self, leg: int, state: Leg) -> ports.QueueAudio:
        if state.queue_audio is None:
            state.queue_audio = ports.QueueAudio(leg)
            audio = state.queue_audio
            with self._mixer.at_once():
                self._mixer.place(queue_audio(leg), lambda: audio.slot)
                self._mixer.join(queue_audio(leg), leg)
        return state.queue_audio

    def _start_play(self, leg: int, state: Leg, wanted: Play) -> None:
        if sounds := wanted.sounds():
            self._queue_audio(leg, state).play(sounds, wanted.play)
        else:
            self._ended.append((leg, wanted.play))

    def _play_what_is_read(self, leg: int) -> None:
        state = self._legs.get(leg)
        while state is not None and state.reading and state.reading[0].is_ready():
            wanted = state.reading.popleft()
            try:
                self._start_play(leg, state, wanted)
            except MediaError as error:  # nobody is there to take it, and the plan must go on
                log.warning("leg %d: %s", leg, error)
                self._ended.append((leg, wanted.play))
        if state is None or not state.reading:
            self._reading.discard(leg)

    def _record(self, leg: int, which: int, path: Path) -> None:
        state = self._leg(leg)
        if state.stream is None:
            state.to_record[which] = path
            return
        rate = ports.tap_rate(state.stream)
        if not rate:
            raise MediaError(f"leg {leg} has no tap: only callers' and customers' legs are recorded")
        if former := state.recordings.get(which):
            self._recorder.end(former)
        file = state.recordings[which] = KINDS[which](leg, path, self._recorder.rate)
        ports.record(state.stream, which, self._recorder.start(file, rate))

    def _stop_record(self, leg: int, which: int, discard: bool) -> None:
        state = self._legs.get(leg)
        if state is None:
            return
        state.to_record.pop(which, None)
        file = state.recordings.pop(which, None)
        if file is not None and state.stream is not None:
            file.is_discarded = discard
            ports.record(state.stream, which, None)
            self._recorder.end(file)

    def _drop_queue_audio(self, leg: int, state: Leg) -> None:
        state.plays.clear()
        state.reading.clear()
        if state.queue_audio is not None:
            state.queue_audio.mute()
            self._dropped.append(state.queue_audio)
            state.queue_audio = None
            state.has_music = False
            self._mixer.remove(queue_audio(leg))

    def _close_dropped(self) -> None:
        """The queue audios that nobody hears any more."""
        while self._dropped:
            self._dropped.pop().close()
