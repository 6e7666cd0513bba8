"""Who calls whom, in a trunk's words and ours: trust, privacy, diversions, numbers."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.callflow.plan import Caller
from engine.callflow.rewrite import table
from engine.callflow.settings import Destination, Identity, Numbers, Registration, Trunk
from engine.sip.digest import Digest, Verdict
from engine.sip.enrolment import FIRST_S, LONGEST_S, Enrolment
from engine.sip.identity import answers_of, caller_of, shown_to, values_of

PAI = 'P-Asserted-Identity: "Bob" <sip:+4940555@carrier>'
RPID = 'Remote-Party-ID: "Rob" <sip:+4940777@carrier>;party=calling;screen=yes;privacy=%s'
PLAIN = 'From: "Ada" <sip:123@h>;tag=1'
NOBODY = 'From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=1'


def invite(*headers: str, uri: str = "sip:100@127.0.0.1") -> str:
    return "\r\n".join([f"INVITE {uri} SIP/2.0", "Via: SIP/2.0/UDP 127.0.0.1", *headers, "", "From: <sip:body@x>"])


def trunk(numbers: Numbers | None = None, **identity: Any) -> Trunk:
    return Trunk("t", (), numbers=numbers or Numbers(), identity=Identity(**identity))


ALL = ("P-Asserted-Identity", "Remote-Party-ID", "From")


@pytest.mark.parametrize(
    ("trusted", "headers", "ani", "name"),
    [
        (ALL, (PLAIN, RPID % "off", PAI), "+4940555", "Bob"),
        (ALL, (PLAIN, RPID % "off"), "+4940777", "Rob"),
        (ALL, (PLAIN,), "123", "Ada"),
        (("From",), (PLAIN, RPID % "off", PAI), "123", "Ada"),  # a trunk whose word about callers counts for nothing
        (("Remote-Party-ID", "From"), (PLAIN, PAI), "123", "Ada"),
        (("P-Asserted-Identity",), (PLAIN,), "", ""),
        (ALL, (PLAIN, "Remote-Party-ID: <sip:5@h>;party=called", PAI.replace("P-A", "X-A")), "123", "Ada"),
        (ALL, (PLAIN, "P-Asserted-Identity: <sip:bob@h>, <tel:+49-40-555>"), "bob", ""),
        (ALL, (PLAIN, "P-Asserted-Identity: <sip:h>", "p-asserted-identity:\r\n <tel:+49-40-555>"), "+4940555", ""),
        (ALL, ("f: Ada <sip:123@h>;tag=1",), "123", "Ada"),
        (ALL, ('From: "Ada \\"L\\" <x>" <sip:123@h>;tag=1',), "123", 'Ada "L" <x>'),
        (ALL, ("From: sip:123@h;tag=1",), "123", ""),
        (ALL, ("From:\r\n  <tel:+1234>",), "+1234", ""),
        (ALL, ('From: "A\tB\x1b[31m" <sip:1@h>',), "1", "A B [31m"),
        (ALL, ('From: "张伟" <sip:1@h>',), "1", "张伟"),
        (ALL, ('From: "A, <sip:1@x>, B" <sip:2@h>',), "2", "A, <sip:1@x>, B"),
        (ALL, ('From: "sip:110@police" <sip:2@h>',), "2", "sip:110@police"),  # a name that looks like an address
        # privacy
        (ALL, (NOBODY, PAI), "+4940555", "Bob"),
        (ALL, (NOBODY, PAI, "Privacy: id"), "", ""),
        (ALL, (NOBODY, PAI, "Privacy: critical; user"), "", ""),
        (ALL, (NOBODY, PAI, "Privacy: none"), "+4940555", "Bob"),
        (ALL, (NOBODY,), "", ""),
        (ALL, ("From: <sip:Anonymous@carrier.example>",), "", ""),
        (ALL, (PLAIN, RPID % "full"), "", ""),
        (("From",), (PLAIN, "Privacy: id"), "", ""),  # a wish is a wish, also of a trunk that is not trusted
    ],
)
def test_whose_word_counts(trusted: tuple[str, ...], headers: tuple[str, ...], ani: str, name: str) -> None:
    assert caller_of(invite(*headers), trunk(caller_from=trusted)) == Caller(ani, "100", "t", name)


@pytest.mark.parametrize(
    ("by", "headers", "dnis"),
    [
        (("Request-URI",), ("To: <sip:200@h>",), "100"),
        (("To",), ("To: <sip:200@h>",), "200"),
        (("To",), ("t: sip:200@h;tag=1",), "200"),
        (("Diversion", "Request-URI"), (), "100"),
        (("Diversion", "Request-URI"), ("Diversion: <sip:300@h>;reason=no-answer, <sip:301@h>",), "301"),
        (("Diversion",), ("Diversion: <sip:300@h>", "Diversion: <sip:301@h>"), "301"),
        (("History-Info", "To"), ("History-Info: <sip:400@h>;index=1, <sip:401@h>", "To: <sip:200@h>"), "400"),
        (("To",), (), ""),
    ],
)
def test_which_number_was_called(by: tuple[str, ...], headers: tuple[str, ...], dnis: str) -> None:
    assert caller_of(invite(PLAIN, *headers), trunk(called_from=by)).dnis == dnis


def test_numbers_come_in_as_ours_and_go_out_as_theirs() -> None:
    numbers = Numbers(
        called_in=table([("*", "+86571*")]),
        caller_in=table([("0*", "+86*")]),
        caller_out=table([("+86*", "0*")]),
    )
    found = caller_of(invite("From: <sip:01012345678@h>", uri="sip:88880000@h"), trunk(numbers))
    assert (found.ani, found.dnis) == ("+861012345678", "+8657188880000")
    assert shown_to(trunk(numbers), found, "us")[0] == "<sip:01012345678@us>"


@given(st.text(max_size=300))
def test_no_header_breaks_it(text: str) -> None:
    found = caller_of(invite("From: " + text, "Diversion: " + text), trunk(called_from=("Diversion", "To")))
    assert len(found.ani) <= 64 and "\n" not in found.ani + found.name + found.dnis


def test_a_list_is_split_where_it_is_one() -> None:
    found = values_of('\r\nX: "a,b" <sip:1,2@h>;x=1, <sip:3@h>\r\n ,c', "X")
    assert found == ['"a,b" <sip:1,2@h>;x=1', "<sip:3@h>", "c"]


# ---- out

KNOWN, WITHHELD = Caller("+4930", "1", "t", 'A "b"\r\nX: y'), Caller("", "1", "t", "known")


def test_what_a_trunk_is_told_of_a_caller() -> None:
    named = '"A \\"b\\" X: y" <sip:+4930@us>'
    assert shown_to(trunk(), KNOWN, "us") == (named, {})
    assert shown_to(trunk(), KNOWN, "[2001:db8::1]")[0].endswith("@[2001:db8::1]>")
    both = trunk(caller_to=("From", "P-Asserted-Identity"), own_number="+4940")
    assert shown_to(both, KNOWN, "us") == (named, {"P-Asserted-Identity": named})
    asserted = trunk(caller_to=("P-Asserted-Identity", "Remote-Party-ID"), own_number="+4940")
    sender, headers = shown_to(asserted, KNOWN, "us")
    assert sender == "<sip:+4940@us>" and headers["P-Asserted-Identity"] == named
    assert headers["Remote-Party-ID"] == f"{named};party=calling;screen=yes;privacy=off"


def test_who_withheld_the_number_stays_unknown() -> None:
    assert shown_to(trunk(), WITHHELD, "us") == ('"Anonymous" <sip:anonymous@anonymous.invalid>', {"Privacy": "id"})
    for own in ("", "+4940"):
        each = trunk(caller_to=("From", "P-Asserted-Identity", "Remote-Party-ID"), own_number=own)
        sender, headers = shown_to(each, WITHHELD, "us")
        assert sender == '"Anonymous" <sip:anonymous@anonymous.invalid>' and headers["Privacy"] == "id"
        assert "known" not in str(headers)
        assert headers.get("P-Asserted-Identity", "") == ("<sip:+4940@us>" if own else "")
        assert headers.get("Remote-Party-ID", "privacy=full").endswith("privacy=full")


def test_a_registered_trunk_is_shown_its_own_domain() -> None:
    registered = Trunk("t", (), registration=Registration("u", Destination("carrier.example")))
    assert shown_to(registered, Caller("1;x@y", "1", "t"), "us")[0] == "<sip:1%3Bx%40y@carrier.example>"


# ---- a carrier that answers our challenge


def test_an_answer_is_read_and_checked() -> None:
    ha1 = hashlib.md5(b"carrier:agner:secret").hexdigest()
    digest = Digest("agner", b"k" * 32, {"carrier": {"MD5": ha1}}, algorithms=("MD5",))
    (challenge,) = digest.challenges("192.0.2.1", 0.0)
    (asked,) = answers_of(invite("Authorization: " + challenge))
    ha2 = hashlib.md5(b"INVITE:sip:100@us").hexdigest()
    for password, verdict in ((ha1, Verdict.RIGHT), ("x", Verdict.WRONG)):
        response = hashlib.md5(f"{password}:{asked.nonce}:00000001:c:auth:{ha2}".encode()).hexdigest()
        line = (
            f'Authorization: Digest username="carrier", realm="agner",nonce="{asked.nonce}", uri="sip:100@us",\r\n'
            f' response="{response}", algorithm=MD5, cnonce="c", qop=auth, nc=00000001'
        )
        assert digest.check("INVITE", answers_of(invite(line)), "192.0.2.1", 1.0)[0] is verdict
    assert answers_of(invite("Authorization: Basic abc", "X-Authorization: Digest a=b")) == []


# ---- registrations


def test_a_registration_is_tried_again_ever_later_and_soon_after_success() -> None:
    one, now, waits = Enrolment(0.0), 0.0, []
    for _ in range(12):
        assert now >= one.next_at
        one.sent()
        assert one.next_at == float("inf")
        one.refused("503", 0.0, now, 0.0)
        waits.append(one.next_at - now)
        now = one.next_at
    assert waits == [min(LONGEST_S, FIRST_S * 2**n) for n in range(12)]
    assert one.state(now) == "failed"
    one.granted(60.0, now)
    assert one.state(now + 59) == "registered" and one.next_at == float("inf") and not one.why
    one.refused("408", 0.0, now + 55, 1.0)  # a refresh
    assert one.next_at == now + 55 + FIRST_S * 0.75 and one.state(now + 59) == "registered"
    assert one.state(now + 61) == "failed"
    one.refused("503", 30.0, now + 57, 0.5)
    assert one.next_at == now + 87
