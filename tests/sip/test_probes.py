"""When a phone counts as gone and as back, by schedules and against a plain model. The clock is passed in."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sip.probes import ANSWER_WITHIN_S, Probes
from engine.sip.registrar import Binding


def phone(name: str, is_gone: bool = False) -> Binding:
    return Binding(
        *("1001", f"sip:{name}@10.0.0.1", "", 0, -1, "call", 1, (), "", "192.0.2.1", 5060, "udp", 0.0, 600.0, is_gone)
    )


def first_question(probes: Probes) -> tuple[float, int]:
    now = probes.deadline()
    ((number, _),), _ = probes.due(now)
    return now, number


def test_a_phone_that_answers():
    probes, one = Probes(30.0, 3), phone("a")
    probes.watch(one, 0.0)
    now, number = first_question(probes)
    assert 0 <= now < 30
    assert probes.answered(number, now + 0.05) is None
    assert one.rtt_s is not None and abs(one.rtt_s - 0.05) < 1e-6
    assert abs(probes.deadline() - now - 30.05) < 1e-6
    assert probes.answered(number, now + 0.06) is None, "once is enough"


def test_gone_after_so_many_and_back_with_the_first_answer():
    probes, one = Probes(30.0, 3), phone("a")
    probes.watch(one, 0.0)
    now, number = first_question(probes)
    for tries in (1, 2):
        ask, gone = probes.due(now + tries * ANSWER_WITHIN_S)
        assert [len(ask), gone, one.is_gone] == [1, [], False]
    ask, gone = probes.due(now + 3 * ANSWER_WITHIN_S)
    assert gone == [one] and one.is_gone and probes.deadline() == now + 3 * ANSWER_WITHIN_S + 30
    assert probes.answered(ask[0][0], now + 13.0) is one
    assert not one.is_gone and one.rtt_s == 1.0


def test_a_late_answer_is_one_but_tells_no_round_trip():
    probes, one = Probes(30.0, 3), phone("a")
    probes.watch(one, 0.0)
    now, number = first_question(probes)
    probes.due(now + ANSWER_WITHIN_S)
    probes.answered(number, now + ANSWER_WITHIN_S + 1)
    assert one.rtt_s is None and abs(probes.deadline() - now - ANSWER_WITHIN_S - 31) < 1e-6


def test_a_register_is_an_answer_too():
    probes, one = Probes(30.0, 1), phone("a")
    probes.watch(one, 0.0)
    now, _ = first_question(probes)
    probes.watch(phone("a"), now + 1)
    assert probes.due(now + ANSWER_WITHIN_S)[1] == []


def test_one_that_is_gone_from_the_start_is_asked_at_once():
    probes = Probes(30.0, 3)
    probes.watch(phone("a", is_gone=True), 7.0)
    assert len(probes.due(7.0)[0]) == 1


def test_nobody_is_asked_where_that_is_off():
    probes = Probes(float("inf"), 3)
    probes.watch(phone("a"), 0.0)
    assert probes.deadline() == float("inf")


def test_many_are_spread():
    probes = Probes(30.0, 3)
    for n in range(3000):
        probes.watch(phone(f"p{n}"), 0.0)
    per_second = Counter(int(due_at) for due_at, _ in probes._due)
    assert len(per_second) == 30 and max(per_second.values()) < 160


STEP = st.tuples(st.sampled_from(["register", "leave", "answer", "wait"]), st.sampled_from("ab"), st.integers(0, 300))


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, max_size=60))
def test_against_the_model(steps: list[tuple[str, str, int]]):
    """A phone is gone if and only if the last N questions since its last sign of life stayed unanswered, each for its
    time. Time goes in tenths of a second."""
    probes, now = Probes(10.0, 2), 0.0
    phones: dict[str, Binding] = {}
    asked: dict[str, list[tuple[float, int]]] = {}  # since the last sign of life
    for what, name, tenths in steps:
        if what == "register":
            phones[name], asked[name] = phone(name), []
            probes.watch(phones[name], now)
        elif what == "leave" and name in phones:
            probes.unwatch(phones.pop(name))
        elif what == "answer" and asked.get(name) and name in phones:
            was_gone = phones[name].is_gone
            assert probes.answered(asked[name][-1][1], now) is (phones[name] if was_gone else None)
            asked[name] = []
        elif what == "wait":
            end = now + tenths / 10
            while probes.deadline() <= end:
                now = max(now, probes.deadline())
                for number, one in probes.due(now)[0]:
                    asked[one.uri[4]].append((now, number))
            now = end
        for name, one in phones.items():
            unanswered = [at for at, _ in asked[name] if now - at >= ANSWER_WITHIN_S - 1e-6]
            assert one.is_gone == (len(unanswered) >= 2), (name, now, asked[name])
    assert len(probes) == len(phones)
