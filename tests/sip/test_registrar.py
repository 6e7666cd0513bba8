"""The registrar, case by case as its RFCs say, and by random schedules against a plain model. Time is passed in."""

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from engine.callflow.settings import Registrar as Settings
from engine.sip.digest import Digest
from engine.sip.registrar import Answer, Binding, Contact, Register, Registrar
from tests.sip.test_digest import REALM, SECRET, answer, ha1, nonce_of

AGENTS = ("1001", "1002")
HOME = "192.0.2.1"
SETTINGS = Settings(min_expires_s=60, max_expires_s=600, n_contacts=3)


class Log:
    """A listener that remembers the bindings that stand."""

    def __init__(self) -> None:
        self.there: dict[tuple[str, tuple[str, int]], Binding] = {}

    def bound(self, binding: Binding) -> None:
        self.there[binding.agent, binding.key] = binding

    def unbound(self, binding: Binding) -> None:
        del self.there[binding.agent, binding.key]


class Desk:
    """A registrar whose requests answer their challenge, unless a test does it itself."""

    def __init__(self, how: Settings = SETTINGS) -> None:
        self.log, self.now, self.n = Log(), 0.0, 0
        credentials = {user: ha1(user, "right horse") for user in (*AGENTS, "1003")}
        self.digest = Digest(REALM, SECRET, credentials)
        self.registrar = Registrar(how, self.digest, AGENTS, self.log)

    def request(self, *contacts: Contact, **changes: Any) -> Register:
        self.n += 1
        base = Register(
            *(HOME, 5060, "udp", "1001", "1001", "call", self.n, f"z9hG4bK{self.n}", list(contacts), False),
            *(None, [], [], [], "phone/1", []),
        )
        request = base._replace(**changes)
        if not request.answers:
            nonce = nonce_of(self.digest.challenges(request.source, self.now)[0])
            request = request._replace(answers=[answer(nonce, user=request.user)])
        return request

    def send(self, *contacts: Contact, **changes: Any) -> Answer:
        return self.registrar.register(self.request(*contacts, **changes), self.now)[0]

    def uris(self, user: str = "1001") -> list[str]:
        return [binding.uri for binding in self.registrar.of(user)]


def at(name: str, expires_s: int | None = None, q: int = -1, instance: str = "", reg_id: int = 0) -> Contact:
    return Contact(f"sip:{name}@10.0.0.1:5060", expires_s, q, instance, reg_id)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def values(given_answer: Answer, name: str) -> list[str]:
    return [value for header, value in given_answer.headers if header == name]


def test_registers_with_what_it_asked_for(desk: Desk):
    found = desk.send(at("a", 120, q=500))
    assert found.status == 200
    assert values(found, "Contact") == ["<sip:a@10.0.0.1:5060>;expires=120;q=0.5"]
    (binding,) = desk.registrar.of("1001")
    assert (binding.source, binding.port, binding.transport, binding.expires_at) == (HOME, 5060, "udp", 120.0)


@pytest.mark.parametrize(
    ("said", "header", "granted"),
    [(None, None, 600), (None, 100, 100), (200, 100, 200), (10**9, None, 600), (600, None, 600), (60, None, 60)],
)
def test_expires_within_limits(desk: Desk, said: int | None, header: int | None, granted: int):
    desk.send(at("a", said), expires_s=header)
    assert desk.registrar.of("1001")[0].expires_at == granted


def test_too_brief_an_interval(desk: Desk):
    found = desk.send(at("a", 100), at("b", 59))
    assert (found.status, values(found, "Min-Expires"), desk.uris()) == (423, ["60"], [])


def test_a_refresh_lasts_from_then_on_and_a_look_changes_nothing(desk: Desk):
    desk.send(at("a", 100))
    desk.now = 90.0
    desk.send(at("a", 100))
    desk.now = 150.5
    desk.registrar.expire(desk.now)
    assert values(desk.send(), "Contact") == ["<sip:a@10.0.0.1:5060>;expires=40"]
    desk.now = 190.0
    desk.registrar.expire(desk.now)
    assert desk.uris() == [] and desk.log.there == {} and values(desk.send(), "Contact") == []


def test_removal_of_one_and_of_all(desk: Desk):
    desk.send(at("a"), at("b"), at("c"))
    desk.send(at("b", 0), at("nobody", 0))
    assert desk.uris() == ["sip:a@10.0.0.1:5060", "sip:c@10.0.0.1:5060"]
    assert desk.send(is_star=True, expires_s=0).status == 200
    assert desk.uris() == [] and desk.log.there == {}


@pytest.mark.parametrize(("contacts", "expires_s"), [([], None), ([], 60), ([at("b")], 0)])
def test_a_star_that_is_none(desk: Desk, contacts: list[Contact], expires_s: int | None):
    desk.send(at("a"))
    assert desk.send(*contacts, is_star=True, expires_s=expires_s).status == 400
    assert desk.uris() == ["sip:a@10.0.0.1:5060"]


def test_order_of_one_call_id(desk: Desk):
    """RFC 3261 section 10.3: all or nothing."""
    desk.send(at("a"), cseq=10)
    assert desk.send(at("b"), at("a", 0), cseq=10).status == 400
    assert desk.send(is_star=True, expires_s=0, cseq=9).status == 400
    assert desk.uris() == ["sip:a@10.0.0.1:5060"]
    assert desk.send(at("a", 0), cseq=1, call_id="after a reboot").status == 200
    assert desk.uris() == []


def test_a_datagram_sent_again_gets_the_same_answer(desk: Desk):
    """Its nonce count is the one that was taken already; any other request with that count is refused."""
    request = desk.request(at("a", 100))
    first = desk.registrar.register(request, 0.0)
    assert first[0].status == 200
    assert desk.registrar.register(request, 3.5) == first
    for changed in (request._replace(branch="z9hG4bKother"), request._replace(cseq=99), request._replace(port=9)):
        refused, is_failed = desk.registrar.register(changed, 3.5)
        assert (refused.status, is_failed) == (401, False)
        assert all("stale=true" in value for value in values(refused, "WWW-Authenticate"))
    assert desk.registrar.register(request, 40.0)[0].status == 401


def test_who_may_not(desk: Desk):
    nonce = nonce_of(desk.digest.challenges(HOME, 0.0)[0])
    as_other = desk.request(at("a"), answers=[answer(nonce, user="1002")])
    assert desk.registrar.register(as_other, 0.0)[0].status == 403
    assert desk.send(at("a"), user="1003").status == 403  # knows a password, and is no agent with a phone here
    assert desk.uris() == []


def test_known_and_unknown_get_the_same_words(desk: Desk):
    """S3. A failed attempt is told; a request without credentials is none."""
    found = []
    for user in ("1001", "4711"):
        nonce = nonce_of(desk.digest.challenges(HOME, 0.0)[0])
        for answers in ([], [answer(nonce, user=user, password="wrong")]):
            request = desk.request(at("a"), user=user)._replace(answers=answers)
            refused, is_failed = desk.registrar.register(request, 0.0)
            words = [value.replace(nonce_of(value), "-") for value in values(refused, "WWW-Authenticate")]
            found.append((refused.status, refused.reason, len(refused.headers), tuple(words), is_failed))
    assert found[:2] == found[2:]
    assert [is_failed for *_, is_failed in found] == [False, True] * 2


def test_phones_at_once_and_room_made_by_one_that_is_gone(desk: Desk):
    assert desk.send(at("a"), at("b"), at("c")).status == 200
    assert desk.send(at("d"), at("a", 0), at("e")).status == 403
    assert len(desk.uris()) == 3
    assert desk.send(at("d"), at("a", 0)).status == 200
    desk.registrar.of("1001")[0].is_gone = True
    assert desk.send(at("e")).status == 200
    assert sorted(uri[4] for uri in desk.uris()) == ["c", "d", "e"]
    assert desk.send(is_star=True, expires_s=0).status == 200


def test_the_same_contact(desk: Desk):
    """RFC 3261 section 19.1.4: hosts and parameters compare without case, users with it."""
    desk.send(Contact("sip:a@PBX.example;transport=TCP;ob", None, -1, "", 0))
    desk.send(Contact("sip:a@pbx.example;ob;transport=tcp", None, -1, "", 0))
    assert desk.uris() == ["sip:a@pbx.example;ob;transport=tcp"]
    desk.send(Contact("sip:A@pbx.example;ob;transport=tcp", None, -1, "", 0))
    assert len(desk.uris()) == 2


def test_outbound(desk: Desk):
    """RFC 5626: the flow is the binding, whatever address it comes from; two flows of a phone are two."""
    first = at("a", instance="<urn:uuid:1>", reg_id=1)
    found = desk.send(first, supported=["outbound", "path"], transport="tcp")
    assert values(found, "Require") == ["outbound"] and values(found, "Supported") == ["path, outbound"]
    assert values(found, "Contact") == ['<sip:a@10.0.0.1:5060>;expires=600;+sip.instance="<urn:uuid:1>";reg-id=1']
    desk.send(first._replace(uri="sip:a@10.9.9.9"), source="198.51.100.7")
    (binding,) = desk.registrar.of("1001")
    assert (binding.uri, binding.source) == ("sip:a@10.9.9.9", "198.51.100.7")
    desk.send(first._replace(reg_id=2))
    assert len(desk.uris()) == 2
    assert values(desk.send(at("b"), transport="tcp"), "Require") == []


def test_outbound_over_udp_is_not_promised(desk: Desk):
    """The phone would ask by STUN whether its flow is up, and nobody would answer."""
    first = at("a", instance="<urn:uuid:1>", reg_id=1)
    found = desk.send(first, supported=["outbound", "path"])
    assert values(found, "Require") == [] and values(found, "Supported") == ["path"]
    found = desk.send(first, require=["outbound"])
    assert (found.status, values(found, "Unsupported")) == (420, ["outbound"])


@pytest.mark.parametrize(
    ("path", "is_promised"),
    [
        (["<sip:inner;lr>", "<sip:edge;lr;ob>"], True),
        (["<sip:inner;lr;ob>", "<sip:edge;lr;obscure>"], False),
        (["<sip:inner;lr>, <sip:edge;ob;lr>"], True),
        (["<sip:inner;lr;ob>, <sip:edge;lr>"], False),
    ],
)
def test_behind_a_proxy_outbound_is_what_the_first_one_says(desk: Desk, path: list[str], is_promised: bool):
    """The one that the phone sends to, which stands last; what is between it and us does not matter."""
    first = at("a", instance="<urn:uuid:1>", reg_id=1)
    for transport in ("udp", "tcp"):
        found = desk.send(first, supported=["outbound", "path"], transport=transport, path=path)
        assert values(found, "Require") == ["outbound"] * is_promised


def test_path(desk: Desk):
    found = desk.send(at("a"), path=["<sip:proxy;lr>", "<sip:inner;lr>"])
    assert values(found, "Path") == ["<sip:proxy;lr>", "<sip:inner;lr>"]
    assert desk.registrar.of("1001")[0].path == ("<sip:proxy;lr>", "<sip:inner;lr>")
    assert desk.send(at("a"), path=["<sip:" + "x" * 600 + ">"]).status == 400


BAD = ["sips:a@h", "tel:1", "http://h", "sip:a@h>;x=<", 'sip:"@h', "sip:" + "a" * 300, "sip:", "sip:a@h?Route=x"]


@pytest.mark.parametrize("uri", BAD)
def test_contacts_that_are_none(desk: Desk, uri: str):
    assert desk.send(Contact(uri, None, -1, "", 0)).status == 400
    assert desk.send(at("a", instance='"quoted"', reg_id=1)).status == 400


def test_extensions(desk: Desk):
    found = desk.send(at("a"), require=["path", "gruu", "magic"])
    assert (found.status, values(found, "Unsupported")) == (420, ["gruu, magic"])


def test_a_header_cannot_forge_a_line(desk: Desk):
    desk.send(at("a"), user_agent="x\r\n\x1b[2Jy" + "z" * 100)
    assert desk.registrar.of("1001")[0].user_agent.isprintable()
    assert len(desk.registrar.of("1001")[0].user_agent) == 64


def test_restore_and_an_agent_who_leaves(desk: Desk):
    desk.send(at("a"), user="1001")
    desk.send(at("b"), user="1002")
    left = [replace(binding) for binding in desk.log.there.values()]
    again = Desk()
    again.registrar.restore(left, 599.0)
    assert again.log.there == desk.log.there
    again.registrar.set_agents(["1002"])
    assert list(again.registrar.bindings) == ["1002"] and len(again.log.there) == 1
    late = Desk()
    late.registrar.restore(left, 600.0)
    assert late.registrar.bindings == {}


def test_a_phone_that_comes_and_goes_leaves_nothing(desk: Desk):
    for _ in range(3000):
        desk.send(at("a"))
        desk.send(at("a", 0))
    assert desk.log.there == {} and len(desk.registrar._due) < 1100
    assert not desk.registrar._wakes


# ---- against a model


@dataclass
class Line:
    expires_at: float
    call_id: str
    cseq: int
    is_gone: bool = False


class Model:
    """RFC 3261 section 10.3, as plain as it can be written."""

    def __init__(self) -> None:
        self.lines: dict[str, dict[str, Line]] = {user: {} for user in AGENTS}

    def alive(self, user: str, now: float) -> dict[str, Line]:
        self.lines[user] = {name: line for name, line in self.lines[user].items() if line.expires_at > now}
        return self.lines[user]

    def send(self, user: str, wishes: list[tuple[str, int]], star: bool, call_id: str, cseq: int, now: float) -> int:
        there = self.alive(user, now)
        touched = list(there) if star else [name for name, _ in wishes if name in there]
        if star and wishes:
            return 400
        by_name = dict(wishes)
        for name, expires_s in wishes:
            if name in touched and there[name].call_id == call_id and cseq <= there[name].cseq:
                return 400
            if 0 < expires_s < 60:
                return 423
        if star and any(there[name].call_id == call_id and cseq <= there[name].cseq for name in touched):
            return 400
        if star:
            there.clear()
            return 200
        kept = {name: line for name, line in there.items() if name not in by_name}
        n_new = sum(expires_s > 0 for expires_s in by_name.values())
        while n_new and len(kept) + n_new > 3:
            if not (gone := [name for name, line in kept.items() if line.is_gone]):
                return 403
            kept.pop(gone[0])
        for name, expires_s in by_name.items():
            if expires_s:
                kept[name] = Line(now + min(expires_s, 600), call_id, cseq)
        self.lines[user] = kept
        return 200


STEP = st.tuples(
    st.sampled_from(AGENTS),
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from([0, 30, 60, 90, 599, 9999])), max_size=4),
    st.booleans(),
    st.sampled_from(["x", "y"]),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.0, 29.5, 60.0, 400.0]),
    st.sampled_from(["", "a", "b"]),
)


STEPS, SEARCH = st.lists(STEP, max_size=40), settings(max_examples=400, deadline=None)


@SEARCH
@given(STEPS)
def test_against_the_model(steps: list) -> None:
    desk, model = Desk(), Model()
    for user, wishes, star, call_id, cseq, later, gone in steps:
        wishes = list(dict(wishes).items())
        star = star and cseq > 4
        desk.now += later
        desk.registrar.expire(desk.now)
        there = model.alive(user, desk.now)
        for binding in desk.registrar.of(user):
            if binding.uri == at(gone).uri and not any(line.is_gone for line in there.values()):
                assert gone in there
                binding.is_gone = there[gone].is_gone = True
        contacts = [at(name, expires_s) for name, expires_s in wishes]
        expires_s = 0 if star else None
        found = desk.send(
            *contacts, user=user, is_star=star, expires_s=expires_s, call_id=call_id, cseq=cseq, branch=f"b{desk.n}"
        )
        assert found.status == model.send(user, wishes, star, call_id, cseq, desk.now)
        for agent in AGENTS:
            lines = model.alive(agent, desk.now)
            stand = {binding.uri: binding.expires_at for binding in desk.registrar.of(agent)}
            assert stand == {at(name).uri: line.expires_at for name, line in lines.items()}
        if found.status == 200:
            told = {value.split(">")[0][1:]: int(value.split("expires=")[1]) for value in values(found, "Contact")}
            lines = model.alive(user, desk.now)
            assert told == {at(name).uri: math.ceil(line.expires_at - desk.now) for name, line in lines.items()}
        stands = {(agent, binding.key) for agent in AGENTS for binding in desk.registrar.of(agent)}
        assert stands == set(desk.log.there)


@pytest.mark.parametrize(
    ("law", "instead"),
    [
        ("engine.sip.registrar._check_order", lambda binding, request: None),
        ("engine.sip.registrar.Registrar._make_room", lambda self, user, wanted: None),
        ("engine.sip.registrar.Registrar.expire", lambda self, now: None),
    ],
)
def test_the_model_sees_a_law_that_is_left_out(law: str, instead: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(law, instead)
    search = settings(SEARCH, database=None, phases=[Phase.generate], report_multiple_bugs=False)
    model_test = test_against_the_model.hypothesis.inner_test  # type: ignore[attr-defined]
    with pytest.raises(AssertionError):
        search(given(STEPS)(model_test))()
