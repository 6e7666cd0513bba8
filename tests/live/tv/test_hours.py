"""By the clock: closed, holidays, days worked in exchange, spots. The hours are set around today; the clock is real."""

from datetime import timedelta

import pytest

from tests.live.ear import CALLER, Sound
from tests.live.tv.shipped import GENERAL, SLIMMING, today
from tests.live.tv.test_callers import number_said

# An evening or a morning that is far from now, and how it is said.
EVENING = ["say/wanshang", "say/8", "say/dian", "say/zhi", "say/9", "say/dian", "say/ban"]
MORNING = ["say/shangwu", "say/6", "say/dian", "say/zhi", "say/7", "say/dian", "say/ban"]


@pytest.fixture
def clock(tv):
    yield tv
    tv.close()
    tv.daemon.until_clean()
    tv.check()
    tv.daemon.reload()


def test_closed(clock):
    """The hours are spoken; a message may be left, but not one of nothing."""
    now, _, _ = today()
    stretch, said_so = ("20:00-21:30", EVENING) if now.hour < 12 else ("06:00-07:30", MORNING)
    clock.daemon.reload([f"daily: {stretch}"])
    caller = clock.call("13300000001", SLIMMING)
    clock.hears(caller, "message_offer")
    caller.press("1")
    clock.stays("13300000001", 0.7, state="MESSAGE")
    caller.press("5")
    clock.hears(caller, "message_too_short")
    clock.stays("13300000001", 2.8, state="MESSAGE")
    caller.press("5")
    opening = ["closed_hours", "say/meitian", *said_so, "message_offer"]
    message = ["leave_message_after_tone", "message_too_short", "leave_message_after_tone", "message_saved"]
    assert clock.said(caller) == [*opening, *message]
    (left,) = clock.daemon.agner("messages", "list", "queue:general")
    assert left["number"] == "13300000001"
    assert Sound.read(clock.daemon.folder / "var" / "recordings" / left["path"]).tones() == {CALLER}


def test_holiday_and_day_worked_in_exchange(clock):
    _, _, dates = today()
    clock.daemon.reload(["daily: all day", "days:", f"  {dates}: closed"])
    caller = clock.call("13300000002", GENERAL)
    clock.hears(caller, "message_offer")
    caller.hang_up()
    clock.daemon.until_clean()
    said = clock.said(caller)
    assert said == ["closed_hours", "say/meitian", "say/quantian", "message_offer"]
    clock.check()  # while these hours hold

    clock.daemon.reload(["daily: closed", "days:", f"  {dates}: all day"])
    agent = clock.agent("1004")
    caller = clock.call("13300000003", GENERAL)
    clock.talks("13300000003", "1004")
    caller.hang_up()
    assert clock.said(caller) == ["welcome", "recording_notice", *number_said("1004")]
    assert clock.said(agent) == ["whisper_general"]


def test_another_spot_on_the_same_number(clock):
    """Who calls while it runs wants jewellery, whatever the number was."""
    now, _, _ = today()
    began = now - timedelta(minutes=1)
    clock.daemon.reload(spot=f"{{ on: {began:%Y-%m-%d}, at: {began:%H:%M}, for: 1h }}")
    agent = clock.agent("1002")
    caller = clock.call("13300000004", SLIMMING)
    clock.talks("13300000004", "1002")
    caller.hang_up()
    assert clock.said(caller) == ["welcome_jewellery", *number_said("1002")]
    assert clock.said(agent) == ["whisper_jewellery"]
