"""Promises of the real daemon: who waited when it was killed, who gave up, and the calls that they get; and a changed
configuration while callers wait.
"""

import signal
import time
from pathlib import Path

import pytest
import yaml

from engine.control import ControlError
from engine.records.callbacks import CallbackTable
from engine.records.database import Database
from tests.live.ear import AGENT, CALLER
from tests.live.floor import Daemon, until
from tests.live.phones import ANSWERS, STAYS, heard
from tests.sip.peers import got
from tests.sip.peers import in_dialog_ok as ok

CUSTOMER, CUSTOMER_PORT = "13800138000", 15390
TRUNK = {"carrier": {"from": ["127.0.0.1/32"], "destinations": [f"sip:127.0.0.1:{CUSTOMER_PORT}"]}}
CALLS_BACK = {"trunk": "carrier", "abandoned": "after 1s", "between": "00:00-24:00", "retries": {"busy": ["5s"]}}


def change_staff(daemon: Daemon, **support: object) -> None:
    """Settings of queue support."""
    path = daemon.folder / "config" / "staff.yaml"
    staff = yaml.safe_load(path.read_text())
    staff["queues"]["support"] |= {name.replace("_", " "): value for name, value in support.items()}
    path.write_text(yaml.safe_dump(staff, sort_keys=False, allow_unicode=True))


def callbacks(folder: Path, state: str | None = None) -> list[tuple[str, str, str, str | None]]:
    database = Database(f"sqlite:///{folder}/var/agner.db")
    try:
        rows, _ = CallbackTable(database).search(state, None, None, 100, 0)
    finally:
        database.close()
    return [(entry.number, entry.reason, entry.state, entry.result) for entry in rows]


@pytest.fixture
def calling_back(start):
    """A daemon whose queue support calls back."""
    daemon = start(trunks=TRUNK)
    change_staff(daemon, callbacks=CALLS_BACK)
    daemon.ask("reload")
    return daemon


def test_everyone_who_waited_at_a_kill_is_owed_a_call_once(start, make_floor):
    daemon = start(trunks=TRUNK)
    floor = make_floor(daemon)
    numbers = [f"1380013900{n}" for n in range(3)]
    for number in numbers:
        floor.sipp_calls("100", number, *STAYS)
    daemon.until_state("QUEUED", 3)
    daemon.signal(signal.SIGKILL)
    daemon.exit_code()
    owed = sorted((f"+86{number}", "crash", "open", None) for number in numbers)
    for _ in range(2):  # the second start finds what the first one has stored
        daemon.start()
        assert sorted(callbacks(daemon.folder)) == owed
        assert sorted(row["number"] for row in until("loaded", lambda: daemon.ask("callbacks"))) == [o[0] for o in owed]
        daemon.signal(signal.SIGKILL)
        daemon.exit_code()


def test_who_gave_up_is_called_when_an_agent_is_free(calling_back, make_floor):
    """Agent first: the customer's phone rings when the agent is on the line, and both hear each other."""
    floor = make_floor(calling_back)
    caller = floor.call(CUSTOMER, "100")
    calling_back.until_state("QUEUED")
    time.sleep(1.2)
    caller.hang_up()
    until("promised", lambda: calling_back.ask("callbacks"))
    customer = floor.phone(f"+86{CUSTOMER}", CUSTOMER_PORT, says=CALLER)
    agent = floor.agent()
    floor.talk_for(1.5)
    (row,) = calling_back.ask("calls")
    assert (row["kind"], row["agent"], row["ani"]) == ("callback", "1001", f"+86{CUSTOMER}")
    assert calling_back.ask("callbacks") == []
    agent.hang_up()
    customer.wait_for("CALL_CLOSED")
    assert AGENT in heard(customer).tones() and CALLER in heard(agent).tones()
    assert until("stored", lambda: callbacks(calling_back.folder, "done")) == [
        (f"+86{CUSTOMER}", "abandoned", "done", "answered")
    ]
    calling_back.until_clean()


def test_a_customer_who_is_served_meanwhile_is_not_called(calling_back, make_floor):
    floor = make_floor(calling_back)
    for _ in range(2):
        caller = floor.call(CUSTOMER, "100")
        calling_back.until_state("QUEUED")
        time.sleep(1.2)
        caller.hang_up()
        until("promised", lambda: calling_back.ask("callbacks"))
    caller = floor.call(CUSTOMER, "100")
    calling_back.until_state("QUEUED")
    agent = floor.agent()
    floor.talk_for(0.5)
    assert [row["kind"] for row in calling_back.ask("calls")] == ["inbound"]
    assert calling_back.ask("callbacks") == []
    agent.hang_up()
    caller.wait_for("CALL_CLOSED")
    results = sorted(str(row[3]) for row in until("stored", lambda: callbacks(calling_back.folder, "cancelled")))
    assert results == ["merged", "served_meanwhile"]
    calling_back.until_clean()


def test_a_customer_who_is_busy_is_called_again(calling_back, make_floor):
    floor = make_floor(calling_back)
    calling_back.ask("callback_add", id="by-hand", number=CUSTOMER, queue="support", by="me")
    busy = floor.sipp_phone(
        CUSTOMER_PORT, got("INVITE"), "<send><![CDATA[SIP/2.0 486 Busy Here\n[last_Via:]\n[last_From:]\n"
        "[last_To:];tag=[call_number]\n[last_Call-ID:]\n[last_CSeq:]\nContent-Length: 0\n\n]]></send>", got("ACK"),
    )  # fmt: skip
    floor.sipp_phone(15101, *ANSWERS, got("BYE"), ok())
    calling_back.seat("1001")
    busy.wait()
    row = until("put off", lambda: [r for r in calling_back.ask("callbacks") if r["result"] == "busy"])[0]
    assert (row["state"], row["n_attempts"]) == ("open", 1)
    calling_back.until_clean()


# ---- reload


def test_callers_who_wait_are_served_by_who_came_with_the_reload(start, make_floor):
    daemon = start()
    floor = make_floor(daemon)
    caller = floor.call("6601", "100")
    daemon.until_state("QUEUED")
    path = daemon.folder / "config" / "staff.yaml"
    newcomer = {"phone": "sip:1009@127.0.0.1:15104", "queues": ["support"], "skills": {"english": 80}}
    staff = yaml.safe_load(path.read_text())
    staff["agents"] = {int(name): agent for name, agent in staff["agents"].items()} | {1009: newcomer}
    path.write_text(yaml.safe_dump(staff, sort_keys=False))
    seen = daemon.ask("diff")
    assert not seen["applied"] and [(c["what"], c["name"], c["kind"]) for c in seen["changes"]] == [
        ("agent", "1009", "added")
    ]
    assert "1009" not in [row["agent"] for row in daemon.ask("agents")]
    assert daemon.ask("reload")["applied"]
    floor.phone("1009", 15104)
    daemon.seat("1009")
    floor.talk_for(0.3)
    assert daemon.ask("calls")[0]["agent"] == "1009"
    assert daemon.ask("diff")["changes"] == []
    caller.hang_up()
    daemon.until_clean()


def test_a_mistake_leaves_everything_as_it_is(start):
    daemon = start()
    path = daemon.folder / "config" / "staff.yaml"
    text = path.read_text()
    path.write_text(text.replace("ring for: 1s", "ring for: soon", 1))
    before = daemon.ask("queues")
    with pytest.raises(ControlError, match=r"staff\.yaml:\d+:\d+: "):
        daemon.ask("reload")
    assert daemon.ask("queues") == before
    daemon.expected_errors.append("SIGHUP")
    daemon.signal(signal.SIGHUP)
    until("told", lambda: "SIGHUP: the configuration stays as it is" in daemon.log())
    path.write_text(text)
    assert daemon.ask("reload")["changes"] == []
