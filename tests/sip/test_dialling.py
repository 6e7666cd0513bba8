"""What a called phone is shown, customers called back, and the lamp that says that messages wait."""

import re
from urllib.parse import unquote

from engine.callflow import events as e
from engine.callflow.events import Refusal
from engine.callflow.plan import Caller
from tests.sip import peers
from tests.sip.peers import CALLER, got, in_dialog_ok, pause, reply, sdp

SHOP = Caller(ani="4006001000", dnis="13800000001", trunk="carrier", name="Shop")
CUSTOMER_STEPS = (got("INVITE"), reply(180), pause(50), reply(200, sdp()), got("ACK"))


def header(messages: str, name: str) -> list[str]:
    return re.findall(rf"^{name}: (.*?)\r?$", messages, re.M)


def shown(ear, sipp, caller, headers, display_name) -> str:
    """The messages of a phone that is rung and refuses."""
    phone = sipp(got("INVITE"), reply(180), reply(486), got("ACK"))
    ear.until(phone.listening)
    ear.endpoint.dial("c", 7, f"sip:phone@127.0.0.1:{phone.port}", caller, headers, display_name)
    ear.next(e.LegEnded)
    ear.until(phone.done)
    assert phone.passed()
    return phone.sent_and_received()


def test_the_agent_sees_business_type_number_and_customer(ear, sipp):
    customer = "王女士 (VIP, 50% off)\r\nX-Evil: 1"
    told = {"X-Agner-Queue": "jewellery", "X-Agner-Customer": customer, "Alert-Info": "<urn:x>"}
    messages = shown(ear, sipp, Caller("13800000001", "100", "t", "old name"), told, 'VIP 珠宝 "13800000001" 王女士')
    (sender,) = set(header(messages, "From"))
    assert sender.startswith('"VIP 珠宝 \\"13800000001\\" 王女士" <sip:13800000001@127.0.0.1>')
    (customer,) = header(messages, "X-Agner-Customer")
    assert customer.isascii() and unquote(customer) == "王女士 (VIP, 50% off) X-Evil: 1"
    assert header(messages, "X-Agner-Queue") == ["jewellery"] and header(messages, "Alert-Info") == ["<urn:x>"]
    assert not header(messages, "X-Evil") and not header(messages, "Privacy")


def test_a_withheld_number_stays_withheld(ear, sipp):
    messages = shown(ear, sipp, Caller("", "100", "t", "known"), {}, "珠宝")
    assert header(messages, "From")[0].startswith('"珠宝" <sip:anonymous@anonymous.invalid>')
    assert header(messages, "Privacy")[0] == "id"
    assert "known" not in messages


def test_a_header_whose_name_is_none_is_never_sent(ear):
    ear.endpoint.dial("c", 7, "sip:phone@127.0.0.1:18199", CALLER, {"X-A: 1\r\nX-B": "2"})
    assert ear.story() == ["CalledRefused", "LegEnded"]


# ---- customers


def test_customer_answers_and_hangs_up(ear, sipp):
    phone = sipp(*CUSTOMER_STEPS, pause(50), peers.bye_from_phone(), got(200))
    ear.until(phone.listening)
    leg = ear.endpoint.dial_customer("c", f"sip:13800000001@127.0.0.1:{phone.port}", SHOP, {})
    ear.next(e.LegEnded)
    assert ear.story() == ["LegMedia", "CustomerAnswered", "CallerGone", "LegEnded"]
    assert ear.next(e.LegMedia).leg == ear.next(e.LegEnded).leg == leg
    assert ear.next(e.CallerGone).status == 200
    ear.until(phone.done)
    assert phone.passed()
    assert header(phone.sent_and_received(), "From")[0].startswith('"Shop" <sip:4006001000@')


def test_keys_of_a_customer(ear, sipp, rtp):
    phone = sipp(got("INVITE"), reply(200, sdp(port=str(rtp.port))), got("ACK"), got("BYE"), in_dialog_ok())
    ear.until(phone.listening)
    leg = ear.endpoint.dial_customer("c", f"sip:13800000001@127.0.0.1:{phone.port}", SHOP, {})
    ear.next(e.CustomerAnswered)
    ear.until(rtp.has_come)
    found = re.search(r"a=rtpmap:(\d+) telephone-event/8000", phone.sent_and_received())
    assert found
    rtp.press("3", ear.silence, int(found[1]))
    assert ear.next(e.CallerDigit).digit == "3"
    ear.endpoint.hang_up(leg)
    ear.until(phone.done)
    assert phone.passed() and ear.story()[-1] == "LegEnded"


def test_refusals_of_a_customer_are_told_apart(ear, sipp):
    cases = {486: Refusal.BUSY, 603: Refusal.REJECTED, 404: Refusal.UNREACHABLE, 408: Refusal.NO_ANSWER}
    phones = {status: sipp(got("INVITE"), reply(180), reply(status), got("ACK")) for status in cases}
    ear.until(lambda: all(phone.listening() for phone in phones.values()))
    for status, phone in phones.items():
        ear.endpoint.dial_customer(str(status), f"sip:1@127.0.0.1:{phone.port}", SHOP, {})
    ear.next(e.LegEnded, len(cases))
    found = {call: event.refusal for call, event in ear.heard if isinstance(event, e.CustomerRefused)}
    assert found == {str(status): refusal for status, refusal in cases.items()}
    ear.until(lambda: all(phone.done() for phone in phones.values()))


def test_customer_rings_until_we_hang_up(ear, sipp):
    phone = sipp(got("INVITE"), reply(180), got("CANCEL"), reply(200), reply(487, to_invite=True), got("ACK"))
    ear.until(phone.listening)
    leg = ear.endpoint.dial_customer("c", f"sip:1@127.0.0.1:{phone.port}", SHOP, {})
    ear.silence(0.3)
    ear.endpoint.hang_up(leg)
    ear.until(phone.done)
    assert phone.passed()
    assert ear.story() == ["LegEnded"]


def test_a_network_that_is_silent_for_long_is_waited_for(ear, sipp):
    """An agent's phone would have been given up after 4 s (settings.Sip.ringing_within_s)."""
    phone = sipp(
        got("INVITE"), reply(100), pause(4600), reply(183), reply(200, sdp()), got("ACK"), got("BYE"), in_dialog_ok()
    )
    ear.until(phone.listening)
    leg = ear.endpoint.dial_customer("c", f"sip:1@127.0.0.1:{phone.port}", SHOP, {})
    ear.next(e.CustomerAnswered)
    ear.endpoint.hang_up(leg)
    ear.until(phone.done)
    assert phone.passed()


def test_customer_who_cannot_be_called_is_refused_at_once(ear):
    ear.endpoint.dial_customer("c", "not a uri", SHOP, {})
    assert ear.story() == ["CustomerRefused", "LegEnded"]


# ---- messages waiting


def test_message_waiting_lamp(ear, sipp, caplog):
    phone = sipp(got("NOTIFY"), reply(200))
    ear.until(phone.listening)
    account = "sip:*97@127.0.0.1\r\nX-Evil: 1"
    ear.endpoint.notify_mwi(f"sip:1001@127.0.0.1:{phone.port}", account, 2, 8)
    ear.until(phone.done)
    assert phone.passed()
    message = phone.sent_and_received().replace("\r", "")
    assert header(message, "Event")[0] == "message-summary"
    assert header(message, "Content-Type")[0] == "application/simple-message-summary"
    assert header(message, "Subscription-State")
    assert header(message, "Contact")[0].startswith("<sip:agner@127.0.0.1:18060")
    assert "\nMessages-Waiting: yes\nMessage-Account: sip:*97@127.0.0.1 X-Evil: 1\nVoice-Message: 2/8\n" in message
    ear.silence(0.1)
    assert ear.heard == [] and not caplog.records


def test_a_phone_that_does_not_take_it_is_only_logged(ear, sipp, caplog):
    phone = sipp(got("NOTIFY"), reply(481))
    ear.until(phone.listening)
    ear.endpoint.notify_mwi(f"sip:1001@127.0.0.1:{phone.port}", "sip:97@h", 0, 0)
    ear.endpoint.notify_mwi("not a uri", "sip:97@h", 0, 0)
    ear.endpoint.notify_mwi("sip:1001@127.0.0.1:18199;transport=tcp", "sip:97@h", 0, 0)
    ear.until(phone.done)
    ear.until(lambda: sum("NOTIFY" in record.message for record in caplog.records) == 3)
    assert "Messages-Waiting: no" in phone.sent_and_received()
    assert ear.heard == []
