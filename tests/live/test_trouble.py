"""What the machine under the daemon does to it: a disk that is full, and has room again. Calls are unharmed."""

import pytest

from tests.live.ear import AGENT, CALLER, HOP_S, WELCOME
from tests.live.floor import RECORDINGS, until
from tests.live.phones import heard

DISK_KB, FREE_KB = 256, 48  # a recording takes 32 kB/s


def test_full_disk(start, make_floor):
    daemon = start(disk_kb=DISK_KB)
    daemon.expected_errors.append("No space left")
    floor = make_floor(daemon)
    ballast = daemon.folder / RECORDINGS / "ballast"
    ballast.write_bytes(bytes((DISK_KB - FREE_KB) * 1024))
    agent = floor.agent()
    calling = floor.call("6901", "101")
    agent.wait_for("CALL_ESTABLISHED")
    until("the alarm", lambda: "No space left" in daemon.log())
    floor.talk_for(4.0)
    ballast.unlink()
    floor.talk_for(6.5)
    agent.hang_up()
    calling.wait_for("CALL_CLOSED")
    cdr = daemon.cdr("6901")

    assert (cdr["disposition"], cdr["ended_by"]) == ("answered", "agent")
    for sound, tone in ((heard(calling), AGENT), (heard(agent), CALLER)):
        begin, end = sound.span(tone)
        assert sound.has(tone).sum() * HOP_S > end - begin - 0.1, "the talk went on beside the full disk"

    (recording,) = cdr["recordings"]
    left, right = daemon.recording(cdr)
    answered_s = (cdr["ended_at"] - cdr["answered_at"]).total_seconds()
    assert left.seconds == right.seconds == pytest.approx(answered_s, abs=0.2), "what was missed is silence"
    assert right.tones() == {WELCOME, AGENT}
    for sound, tone in ((left, CALLER), (right, AGENT)):
        assert sound.between(sound.seconds - 1.0, sound.seconds).tones() == {tone}, "recorded again since there is room"
    silent_s = left.seconds - left.has(CALLER).sum() * HOP_S
    assert 1.0 < recording["lost_s"] == pytest.approx(silent_s, abs=1.0)
    assert sum("No space left" in line for line in daemon.log().splitlines()) < 4, "an alarm, not a line a second"
