"""Who calls the shipped TV-shopping plan, who answers, and what both hear."""

import numpy as np

from tests.live.ear import AGENT, CALLER, CALLER_2, HEARD, MUSIC
from tests.live.tv.shipped import AGENT_PORTS, ELSEWHERE, GENERAL, SLIMMING

VIP, VIP_2, KNOWN, KNOWN_2 = "13900000001", "13900000002", "13700000002", "13700000003"  # the last two: of agent 1002
LISTED = "13600000001"


def number_said(agent):
    """报工号: what a caller hears at pick-up."""
    return ["agent_number", *(f"say/{'yao' if digit == '1' else digit}" for digit in agent), "at_your_service"]


# ---- the blacklist


def test_blacklisted_hears_it_unbilled(tv):
    """As early media, and on a trunk without it after the answer; each call counts as a hit."""
    tv.daemon.agner("blacklist", "add", LISTED, "--reason", "abuse")
    early, late = tv.call(LISTED, SLIMMING), tv.call(LISTED, SLIMMING, address=ELSEWHERE)
    assert tv.said(early) == tv.said(late) == ["system_busy"]
    assert (early.count("CALL_ESTABLISHED"), late.count("CALL_ESTABLISHED")) == (0, 1)
    tv.daemon.until_clean()
    cdrs = {row["trunk"]: row for row in tv.cdrs(LISTED)}
    assert cdrs["demo-carrier"]["answered_at"] is None and cdrs["plain"]["answered_at"]
    assert cdrs["demo-carrier"]["status"] == 486
    (entry,) = tv.daemon.agner("blacklist", "list")
    assert entry["n_hits"] == 2


# ---- VIP


def test_vip_desk_is_free(tv):
    desk, other = tv.agent("1005"), tv.agent("1001")
    caller = tv.call(VIP, SLIMMING)
    tv.talks(VIP, "1005")
    caller.hang_up()
    assert tv.said(caller) == ["welcome_vip", *number_said("1005")]
    assert tv.said(desk) == ["whisper_vip", "whisper_slimming"]
    assert tv.tones(caller) == {AGENT} and tv.tones(desk) == {CALLER}, "nobody waited"
    assert other.count("CALL_INCOMING") == 0


def test_all_of_the_vip_desk_is_busy(tv):
    """The next agent who is free is the VIP's, before a caller who came first."""
    tv.agent("1005")
    tv.call(VIP, SLIMMING)
    tv.talks(VIP, "1005")
    ordinary = tv.call("13500000001", SLIMMING, says=CALLER_2)
    tv.row("13500000001", state="QUEUED")
    second = tv.call(VIP_2, SLIMMING)
    tv.stays(VIP_2, 0.4, state="QUEUED")
    agent = tv.agent("1001")
    tv.talks(VIP_2, "1001")
    second.hang_up()
    tv.talks("13500000001", "1001")
    ordinary.hang_up()
    assert tv.said(agent) == ["whisper_vip", "whisper_slimming"]
    assert tv.said(agent, 1) == ["whisper_slimming"]
    assert tv.tones(agent) == {CALLER} and tv.tones(agent, 1) == {CALLER_2}
    assert tv.said(second)[0] == "welcome_vip" and tv.said(ordinary)[0] == "welcome_slimming"
    assert tv.said(second)[-6:] == tv.said(ordinary)[-6:] == number_said("1001")
    assert tv.tones(second) == {MUSIC, AGENT}


# ---- returning customers


def test_returning_customer(tv):
    """To the agent of the last order, though another has been free for longer; to the other, at once, while that one is
    busy, and when that one has gone home."""
    other, own = tv.agent("1001"), tv.agent("1002")
    first = tv.call(KNOWN, SLIMMING)
    tv.talks(KNOWN, "1002")
    second = tv.call(KNOWN_2, SLIMMING)
    tv.talks(KNOWN_2, "1001")
    first.hang_up()
    second.hang_up()
    assert tv.said(first) == ["welcome_slimming", *number_said("1002")]
    assert tv.said(second) == ["welcome_slimming", *number_said("1001")], "no music: nobody held out"
    tv.daemon.ask("agent_logout", id="1002")
    third = tv.call(KNOWN, SLIMMING)
    tv.talks(KNOWN, "1001")
    third.hang_up()
    for phone, n in ((own, 0), (other, 0), (other, 1)):
        assert tv.said(phone, n) == ["whisper_returning", "whisper_slimming"]
    assert tv.said(third) == ["welcome_slimming", *number_said("1001")]


# ---- pick-up


def test_the_agents_answer_cuts_an_announcement(tv):
    """The connection waits for no prompt; number and whisper are heard whole, and nobody speaks into them."""
    agent = tv.phone("1001", AGENT_PORTS["1001"])
    tv.daemon.ask("agent_login", id="1001")
    caller = tv.call("13500000002", SLIMMING)
    tv.stays("13500000002", 1.55, state="QUEUED")
    tv.daemon.ask("agent_ready", id="1001")
    tv.talks("13500000002", "1001")
    agent.hang_up()
    tv.stays("13500000002", 0.1, state="ROUTING")
    caller.hang_up()
    said = tv.said(caller)
    assert said[:8] == ["welcome_slimming", "please_wait...", *number_said("1001")]
    assert tv.said(agent) == ["whisper_slimming"]
    sound, voice = tv.sound(caller), tv.daemon.voice
    _, cut, number, *_ = voice.heard(sound)
    between = sound.between(cut.begin_s, number.begin_s).samples
    silent = np.abs(between[: len(between) // 160 * 160].reshape(-1, 160)).max(axis=1) < 0.01
    assert silent.sum() <= 3, "frames of silence between announcement and greeting"
    assert voice.under(sound, AGENT) < HEARD and voice.under(tv.sound(agent), CALLER) < HEARD


def test_who_does_not_agree_is_not_recorded(tv):
    agent = tv.agent("1004")
    caller = tv.call("13500000003", GENERAL)
    tv.hears(caller, "recording_notice")
    caller.press("9")
    tv.talks("13500000003", "1004")
    caller.hang_up()
    assert tv.said(caller) == ["welcome", "recording_notice", "consent_refused", *number_said("1004")]
    assert tv.said(agent) == ["whisper_general"]
    cdr = tv.daemon.cdr("13500000003")
    assert not cdr["recordings"]
    assert not list((tv.daemon.folder / "var" / "recordings").rglob(f"*{cdr['call']}*"))


def test_survey_after_the_agent_hung_up_first(tv):
    agent = tv.agent("1001")
    caller = tv.call("13500000004", SLIMMING)
    tv.talks("13500000004", "1001")
    agent.hang_up()
    tv.hears(caller, "survey_question")
    caller.press("2")
    assert tv.said(caller) == ["welcome_slimming", *number_said("1001"), "survey_question", "survey_thanks"]
    cdr = tv.daemon.cdr("13500000004")
    assert (cdr["disposition"], cdr["agent"], cdr["ended_by"]) == ("answered", "1001", "plan")
    (answer,) = tv.surveys(cdr["call"])
    assert (answer["question"], answer["digit"], answer["label"]) == ("satisfaction", "2", "基本满意")
    assert (answer["agent"], answer["queue"]) == ("1001", "slimming")
