"""The calls that keep what the shipped plan promised: agent first, customer first, and customers who cannot be reached
at once or have called again meanwhile.
"""

from tests.live.ear import AGENT, CALLER, MUSIC
from tests.live.floor import until
from tests.live.tv.shipped import CUSTOMER_PORT, SLIMMING
from tests.live.tv.test_callers import number_said
from tests.sip.peers import got, pause, reply

ANI, ANI_2, ANI_3, ANI_4 = (f"1320000000{n}" for n in range(1, 5))


def wish(tv, queue, number):
    tv.daemon.agner("callbacks", "add", number, "--queue", queue)


def became(tv, number):
    """How the one callback of this number ended."""

    def closed():
        found = tv.daemon.agner("callbacks", "list", "--state", "any", "--number", number)
        return [row for row in found["callbacks"] if row["state"] in ("done", "cancelled", "failed")]

    until("closed", closed)
    return {(row["state"], row["result"]) for row in closed() if row["result"] != "merged"}


def test_promise_after_time_out_is_kept(tv):
    """Agent first: the agent is told what it is about, and waits for the customer with music."""
    caller = tv.call(ANI, SLIMMING)
    assert tv.said(caller) == ["welcome_slimming", "all_busy_callback"]
    customer = tv.phone(f"+86{ANI}", CUSTOMER_PORT, says=CALLER, answers=False)
    agent = tv.agent("1001")
    customer.wait_for("CALL_INCOMING")
    tv.stays(f"+86{ANI}", 1.0, state="FETCHING")
    customer.accept()
    tv.talks(f"+86{ANI}", "1001")
    agent.hang_up()
    assert tv.said(agent) == ["whisper_callback", "whisper_slimming"]
    assert tv.tones(agent) == {MUSIC, CALLER} and tv.tones(customer) == {AGENT}
    assert became(tv, ANI) == {("done", "answered")}


def test_customer_first(tv):
    """The customer hears who calls, then music until an agent has picked up, then the agent's number."""
    wish(tv, "general", ANI_2)
    customer = tv.phone(f"+86{ANI_2}", CUSTOMER_PORT, says=CALLER)
    agent = tv.agent("1004", answers=False)
    tv.hears(customer, "callback_greeting")
    agent.wait_for("CALL_INCOMING")
    tv.stays(f"+86{ANI_2}", 1.0, state="OFFERING")
    agent.accept()
    tv.talks(f"+86{ANI_2}", "1004")
    customer.hang_up()
    assert tv.said(customer) == ["callback_greeting", *number_said("1004")]
    assert tv.tones(customer) == {MUSIC, AGENT}
    assert tv.said(agent) == ["whisper_callback", "whisper_general"] and tv.tones(agent) == {CALLER}
    assert became(tv, ANI_2) == {("done", "answered")}


def test_busy_then_no_answer_then_answered(tv):
    wish(tv, "slimming", ANI_3)
    busy = tv.sipp_phone(CUSTOMER_PORT, got("INVITE"), reply(180), pause(300), reply(486), got("ACK"))
    agent = tv.agent("1001")
    busy.wait()
    until("put off", lambda: [row for row in tv.daemon.ask("callbacks") if row["result"] == "busy"])
    silent = tv.sipp_phone(
        CUSTOMER_PORT, got("INVITE"), reply(180), got("CANCEL"), reply(200), reply(487, to_invite=True), got("ACK")
    )
    silent.wait(20)
    until("put off", lambda: [row for row in tv.daemon.ask("callbacks") if row["result"] == "no_answer"])
    customer = tv.phone(f"+86{ANI_3}", CUSTOMER_PORT, says=CALLER)
    customer.wait_for("CALL_ESTABLISHED")
    tv.talks(f"+86{ANI_3}", "1001")
    customer.hang_up()
    for n in range(3):
        assert tv.said(agent, n) == ["whisper_callback", "whisper_slimming"]
    assert CALLER not in tv.tones(agent, 0) | tv.tones(agent, 1) and CALLER in tv.tones(agent, 2)
    assert became(tv, ANI_3) == {("done", "answered")}


def test_who_calls_and_is_served_meanwhile_is_not_called(tv):
    wish(tv, "slimming", ANI_4)
    caller = tv.call(ANI_4, SLIMMING)
    assert tv.said(caller) == ["welcome_slimming", "all_busy_callback"]
    assert len(tv.daemon.ask("callbacks")) == 1, "one for each number"
    tv.daemon.ask("agent_login", id="1001")
    caller = tv.call(ANI_4, SLIMMING)
    tv.row(ANI_4, state="QUEUED")
    agent = tv.agent("1001")
    tv.talks(ANI_4, "1001")
    caller.hang_up()
    assert tv.said(agent) == ["whisper_slimming"], "a caller, not a callback"
    assert became(tv, ANI_4) == {("cancelled", "served_meanwhile")}
    assert tv.daemon.ask("callbacks") == []
