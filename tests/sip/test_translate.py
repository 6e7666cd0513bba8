"""What strangers write into headers, and what we make of it."""

import pjsua2 as pj
import pytest

from engine.callflow.events import Refusal
from engine.callflow.plan import Caller
from engine.sip.translate import address_of, clean, local_uri, number_of, refusal_of, sip_error


@pytest.mark.parametrize(
    ("uri", "number"),
    [
        ("sip:+4930123@10.0.0.1:5060;transport=udp", "+4930123"),
        ("<sips:%2B4930-123@[2001:db8::1]>;tag=9", "+4930123"),
        ("sip:+49(30)12.34;phone-context=example.org@gw", "+49301234"),
        ("tel:+1-800-555-1234;ext=9", "+18005551234"),
        ("sip:alice.b-c:secret@x", "alice.b-c"),
        ("sip:10.0.0.1", ""),
        ("garbage", ""),
        ("sip:%0d%0aX@h", "X"),
        ("sip:" + "9" * 500 + "@h", "9" * 64),
    ],
)
def test_number(uri: str, number: str) -> None:
    assert number_of(uri) == number


def test_from_of_our_own_invite() -> None:
    caller = Caller("+49 30", "1", "t", 'A "b"\r\nX: y')
    assert local_uri(caller, "h") == '"A \\"b\\" X: y" <sip:+49%2030@h>'
    assert local_uri(Caller("", "1", "t", "known"), "h") == '"Anonymous" <sip:anonymous@anonymous.invalid>'
    assert local_uri(Caller("1;x@y", "1", "t"), "h") == "<sip:1%3Bx%40y@h>"


def test_source_addresses() -> None:
    assert str(address_of("192.0.2.1:5060")) == "192.0.2.1"
    assert str(address_of("[2001:db8::1]:5060")) == "2001:db8::1"
    assert str(address_of("[::ffff:192.0.2.1]:5060")) == "192.0.2.1"


def test_every_final_status_is_one_of_four() -> None:
    for status in range(300, 700):
        for rang in (True, False):
            assert refusal_of(status, rang) in Refusal
    assert refusal_of(408, rang=True) is Refusal.NO_ANSWER
    assert refusal_of(408, rang=False) is Refusal.UNREACHABLE


def test_clean_leaves_one_line() -> None:
    assert clean("a\r\nb\x00\x85\u2028c ") == "a b c"


def test_clean_leaves_utf8() -> None:
    """Jos\u00e9 in Latin-1, as pjsua2 hands it on."""
    name = clean(b"Jos\xe9 \xa0".decode(errors="surrogateescape"))
    assert name == "Jos\ufffd \ufffd" and name.encode()


def test_a_pjsip_error_keeps_its_words() -> None:
    error = pj.Error()
    error.reason = "Address already in use"
    assert str(sip_error("leg 7: answer", error)) == "leg 7: answer: Address already in use"
