"""Nobody is free: what callers of the shipped plan hear meanwhile, their ways out, and what they are owed then."""

import subprocess
from datetime import datetime, timedelta

import pytest

from tests.live.ear import CALLER, MUSIC, Sound
from tests.live.floor import AGNER, until
from tests.live.tv.shipped import AGENT_PORTS, MAILBOX, SLIMMING
from tests.sip.peers import got, reply

PIN = "4711"


@pytest.fixture
def busy(tv):
    """Somebody is logged in, and nobody free."""
    tv.daemon.ask("agent_login", id="1001")
    return tv


def owed(tv, number):
    """The open callback of this number."""
    rows = until(f"a callback of {number}", lambda: tv.daemon.ask("callbacks"))
    (row,) = [row for row in rows if row["number"] == number]
    return row


def without_values(said):
    return [name for name in said if not name.startswith("say/")]


def test_out_of_time(busy):
    """Music, a word now and then with place and expected wait; then the apology, and a callback."""
    caller = busy.call("13400000001", SLIMMING)
    said = busy.said(caller)
    heard = ["welcome_slimming", "please_wait", "exit_offer", "comfort_thanks", "all_busy_callback"]
    assert without_values(said) == heard
    assert busy.tones(caller) == {MUSIC}
    row = owed(busy, "+8613400000001")
    assert (row["reason"], row["queue"]) == ("timeout", "slimming")
    assert busy.daemon.cdr("13400000001")["disposition"] == "timed_out"


def test_nobody_is_logged_in(tv):
    caller = tv.call("13400000002", SLIMMING)
    assert tv.said(caller) == ["welcome_slimming", "all_busy_callback"]
    assert owed(tv, "+8613400000002")["reason"] == "timeout"


def test_giving_up(busy):
    """Who hangs up soon is not called back; who waited for a while is, though nothing was said."""
    soon = busy.call("13400000003", SLIMMING)
    later = busy.call("13400000004", SLIMMING)
    busy.stays("13400000003", 0.2, state="QUEUED")
    soon.hang_up()
    busy.stays("13400000004", 1.2, state="QUEUED")
    later.hang_up()
    assert owed(busy, "+8613400000004")["reason"] == "abandoned"
    assert [row["number"] for row in busy.daemon.ask("callbacks")] == ["+8613400000004"]
    assert busy.daemon.cdr("13400000003")["disposition"] == "abandoned"
    assert busy.said(later) == ["welcome_slimming"]


def test_key_1_keeps_the_place(busy):
    """A callback to this number, and one to another that is keyed in and read back."""
    here, elsewhere = busy.call("13400000005", SLIMMING), busy.call("13400000006", SLIMMING)
    for phone, key in ((here, "1"), (elsewhere, "2")):
        busy.hears(phone, "exit_offer")
        phone.press("1")
        busy.hears(phone, "callback_number_offer")
        phone.press(key)
    busy.hears(elsewhere, "enter_number")
    elsewhere.press("02161230001#")
    busy.hears(elsewhere, "confirm_number")
    elsewhere.press("1")
    waited = ["welcome_slimming", "please_wait", "exit_offer", "callback_number_offer"]
    assert without_values(busy.said(here)) == [*waited, "callback_noted"]
    said = busy.said(elsewhere)
    assert without_values(said) == [*waited, "enter_number", "your_number", "confirm_number", "callback_noted"]
    read_back = said[said.index("your_number") + 1 : said.index("confirm_number")]
    digits = {"0": "0", "2": "2", "1": "yao", "6": "6", "3": "3"}
    assert read_back == [f"say/{digits[digit]}" for digit in "02161230001"]
    for number, phone in (("+8613400000005", here), ("+862161230001", elsewhere)):
        row = owed(busy, number)
        cdr = busy.daemon.cdr(phone.user)
        assert row["reason"] == "asked" and row["queue"] == "slimming"
        (queued,) = [part for part in cdr["segments"] if part["kind"] == "queue"]
        assert abs(datetime.fromisoformat(row["arrived_at"]) - queued["began_at"]) < timedelta(seconds=0.01)
        assert queued["outcome"] == "left_queue" and cdr["disposition"] == "left_queue"


def test_going_on_waiting(busy):
    """Who presses nothing, or a key that means nothing, goes on waiting, and is answered in the end."""
    caller = busy.call("13400000008", SLIMMING)
    busy.hears(caller, "exit_offer")
    caller.press("7")
    agent = busy.agent("1001")
    busy.talks("13400000008", "1001")
    agent.hang_up()
    busy.hears(caller, "survey_question")
    caller.hang_up()
    end = ["agent_number", "at_your_service", "survey_question"]
    assert without_values(busy.said(caller)) == ["welcome_slimming", "please_wait", "exit_offer", *end]


def test_key_2_leaves_a_message(busy):
    """It lights the lamps of who may listen; they hear it by phone with their PIN, and nobody else does."""
    lamp = busy.sipp_phone(AGENT_PORTS["1001"], got("NOTIFY", check="Messages-Waiting: yes"), reply(200))
    caller = busy.call("13400000007", SLIMMING)
    busy.stays("13400000007", 0.2, state="QUEUED")
    caller.press("2")
    busy.stays("13400000007", 2.8, state="MESSAGE")
    caller.press("5")
    assert busy.said(caller) == ["welcome_slimming", "leave_message_after_tone", "message_saved"]
    lamp.wait(10)
    (message,) = busy.daemon.agner("messages", "list", "queue:slimming")
    assert message["number"] == "13400000007"
    sound = Sound.read(busy.daemon.folder / "var" / "recordings" / message["path"])
    assert sound.tones() == {CALLER} and abs(sound.seconds - message["seconds"]) < 0.1

    for agent in ("1001", "1003"):
        command = [str(AGNER), "--config", "config", "messages", "pin", f"agent:{agent}"]
        subprocess.run(command, cwd=busy.daemon.folder, input=f"{PIN}\n{PIN}\n", text=True, check=True)
    wrong, other, right = (busy.call(ani, MAILBOX) for ani in ("1007", "1003", "1001"))
    for phone, agent, pin in ((wrong, "1001", "9999"), (other, "1003", PIN), (right, "1001", PIN)):
        busy.hears(phone, "enter_mailbox")
        phone.press(f"{agent}#")
        busy.hears(phone, "enter_pin")
        phone.press(f"{pin}#")
    busy.hears(wrong, "wrong_pin")
    wrong.hang_up()
    busy.hears(right, "mailbox_keys")
    dark = busy.sipp_phone(AGENT_PORTS["1001"], got("NOTIFY", check="Messages-Waiting: no"), reply(200))
    right.press("3")
    assert without_values(busy.said(wrong))[:3] == ["enter_mailbox", "enter_pin", "wrong_pin"]
    assert without_values(busy.said(other)) == ["enter_mailbox", "enter_pin", "no_messages"]
    listened = ["enter_mailbox", "enter_pin", "you_have", "message_from", "received_at", "mailbox_keys"]
    assert without_values(busy.said(right)) == [*listened, "message_deleted", "end_of_messages"]
    assert CALLER in busy.tones(right) and CALLER not in busy.tones(other) | busy.tones(wrong)
    dark.wait(10)
    assert busy.daemon.agner("messages", "list", "queue:slimming") == []
