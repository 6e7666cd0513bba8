"""One form for a number, however it came; and who is on the blacklist by it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.callflow.blacklist import Blacklist
from engine.callflow.numbers import canonical, canonical_pattern
from engine.callflow.record import BlacklistEntry

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("form", "variants"),
    [
        (
            "+8613800138000",
            "13800138000 013800138000 8613800138000 008613800138000 +8613800138000 138-0013-8000 +86(0)138-0013-8000 "
            "１３８００１３８０００ ＋86－138－0013－8000",
        ),
        ("+862161234567", "021-61234567 02161234567 2161234567 +86-21-61234567 (021)61234567 0086.21.61234567"),
        ("+8675512345678", "0755-12345678 075512345678 +8675512345678"),
        ("+864001234567", "400-123-4567 4001234567"),
        ("+18005551234", "+1-800-555-1234 0018005551234"),
        ("10086", "10086"),
        ("61234567", "61234567 6123-4567"),
        ("4001", "4001"),
        ("0", "0"),
        ("alice", "alice"),
        ("", ""),
    ],
)
def test_variants_of_one_number(form, variants):
    assert {canonical(text) for text in variants.split() or [""]} == {form}


def test_spaces_are_separators():
    assert canonical(" +86 138 0013 8000 ") == "+8613800138000"


def test_another_country():
    assert canonical("030 12345678", country="49") == "+493012345678"


@given(st.text(alphabet="+0123456789-() a", max_size=20))
def test_the_form_is_its_own_form(text):
    assert canonical(canonical(text)) == canonical(text)


@pytest.mark.parametrize(
    ("text", "form"),
    [("138*", "+86138*"), ("0571*", "+86571*"), ("+86571*", "+86571*"), ("0086 571*", "+86571*"), ("+1*", "+1*"),
     ("95*", "+8695*"), ("13800138000", "+8613800138000"), ("10086", "10086")],
)  # fmt: skip
def test_patterns(text, form):
    assert canonical_pattern(text) == form


@pytest.mark.parametrize("text", ["", "*", "+*", "1*3", "*138", "13a*", "1" * 30 + "*"])
def test_what_is_no_pattern(text):
    with pytest.raises(ValueError):
        canonical_pattern(text)


def entry(pattern, **changes):
    return BlacklistEntry(**{"pattern": canonical_pattern(pattern), "reason": pattern, "by": "me", "created_at": NOW}
                          | changes)  # fmt: skip


def test_who_is_on_the_blacklist():
    blacklist = Blacklist([entry("0571*"), entry("0571 888*"), entry("13800138000"), entry("95*"), entry("+1*")])
    assert len(blacklist) == 5

    def reason(number):
        found = blacklist.find(number, NOW)
        return found and found.reason

    assert reason("057112345678") == "0571*" and reason("+86 571 1234 5678") == "0571*"
    assert reason("057188812345") == "0571 888*"
    assert reason("013800138000") == "13800138000" and reason("13800138001") is None
    assert reason("95588") == "95*" and reason("0018005551234") == "+1*"
    assert reason("") is None and reason("anonymous") is None and Blacklist().find("13800138000", NOW) is None


def test_an_entry_ends_at_its_expiry_and_the_wider_one_behind_it_stands():
    until = NOW + timedelta(hours=1)
    blacklist = Blacklist([entry("138*"), entry("13800138000", expires_at=until)])
    for at, reason in ((NOW, "13800138000"), (until, "138*")):
        found = blacklist.find("13800138000", at)
        assert found is not None and found.reason == reason
    assert Blacklist([entry("138*", expires_at=NOW)]).find("13800138000", NOW) is None
