"""A gateway that goes silent between words (RFC 3389): the silence is heard and recorded as silence."""

import numpy as np

from tests.live.ear import CALLER, HOP_S
from tests.live.phones import STAYS
from tests.live.voice import FRAME_S, Voice
from tests.sip.peers import invite, sdp

WORD, PAUSE = 40, 40  # frames of 20 ms
N_WORDS = 3
EDGES_S = 0.05  # of the windows by which a tone is found


def says_words(ends_with: str):
    """A word, a pause, and so on; `ends_with`: in the first frame of each pause. Silence after the last."""

    def plan(frame: int) -> str:
        word, at = divmod(frame, WORD + PAUSE)
        if word >= N_WORDS:
            return "tone" if word == N_WORDS + 1 else ""
        return "tone" if at < WORD else ends_with if at == WORD else ""

    return plan


def lengths_s(sound) -> list[float]:
    """Of the stretches with the caller's tone, without the last, which marks the end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], sound.has(CALLER).astype(int), [0]])))
    return [float(end - begin) * HOP_S for begin, end in zip(edges[::2], edges[1::2], strict=True)][:-1]


def words(floor, ani: str, ends_with: str) -> list[float]:
    with Voice(CALLER, plan=says_words(ends_with)) as voice:
        floor.sipp_calls("100", ani, invite(sdp("8 13", port=str(voice.port))), *STAYS)
        floor.talk_for((N_WORDS + 2) * (WORD + PAUSE) * FRAME_S + 0.5, "QUEUED")
        (row,) = [row for row in floor.daemon.ask("calls") if row["ani"] == ani]
        floor.daemon.ask("hangup", id=row["call"])
    left, _ = floor.daemon.recording(floor.daemon.cdr(ani))
    return lengths_s(left)


def test_comfort_noise_is_silence_at_once_and_a_pause_without_it_is_concealed(floor):
    """Without telephone-event the leg is the bridge's, so PJMEDIA decodes it. What is concealed is the control: PJMEDIA
    repeats the last sound, fading, as if packets were lost."""
    told, untold = words(floor, "6601", "noise"), words(floor, "6602", "")
    print("with comfort noise", told, "without", untold)
    assert len(told) == len(untold) == N_WORDS
    word_s = WORD * FRAME_S
    assert all(abs(one - word_s) <= EDGES_S for one in told), told
    assert np.median(untold) > np.median(told) + 0.02, "nothing was concealed: this proves nothing"
