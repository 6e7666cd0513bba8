"""Number normalisation: the longest rule wins, and tables like a carrier's agree with themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.callflow.rewrite import Rewriting, Rule, rule, table

CHINA_IN = table(
    [("+*", "+*"), ("00*", "+*"), ("0*", "+86*"), ("1??????????", "+861*"), ("????????", "+86571*"), ("10086", "10086")]
)
CHINA_OUT = table([("+86*", "0*"), ("+861??????????", "1*"), ("+*", "00*"), ("+86571????????", "*")])
DIGITS = st.text("0123456789", min_size=1, max_size=15)


@pytest.mark.parametrize(
    ("number", "is_now"),
    [
        ("+4930123456", "+4930123456"),
        ("004930123456", "+4930123456"),
        ("057188880000", "+8657188880000"),
        ("13800138000", "+8613800138000"),
        ("88880000", "+8657188880000"),
        ("10086", "10086"),
        ("110", "110"),
        ("", ""),
        ("alice", "alice"),
        ("00", "+"),
    ],
)
def test_a_chinese_carriers_numbers_become_international(number: str, is_now: str) -> None:
    assert CHINA_IN.rewrite(number) == is_now


@pytest.mark.parametrize(
    ("number", "is_now"),
    [
        ("+8613800138000", "13800138000"),
        ("+8657188880000", "88880000"),
        ("+861012345678", "01012345678"),
        ("+4930123456", "004930123456"),
        ("10086", "10086"),
    ],
)
def test_and_go_out_as_it_wants_them(number: str, is_now: str) -> None:
    assert CHINA_OUT.rewrite(number) == is_now


@given(st.sampled_from(["+", "00", "0", "1", ""]), DIGITS)
def test_normalising_twice_is_once(start: str, rest: str) -> None:
    once = CHINA_IN.rewrite(start + rest)
    assert CHINA_IN.rewrite(once) == once


@given(st.one_of(st.from_regex(r"\+861[0-9]{10}|\+86(571|10)[2-9][0-9]{7}|\+[1-79][0-9]{6,12}", fullmatch=True)))
def test_out_and_in_again_is_the_same_number(number: str) -> None:
    assert CHINA_IN.rewrite(CHINA_OUT.rewrite(number)) == number


PATTERNS = st.builds(
    lambda plus, prefix, wild: (plus + prefix + wild) or "*",
    st.sampled_from(["", "+"]),
    st.text("01", max_size=3),
    st.sampled_from(["", "*", "?", "??", "????"]),
)


def model(rules: list[Rule], number: str) -> str:
    """By the words of the rule: try each prefix of the number, the longest first."""
    for length in range(len(number), -1, -1):
        prefix, rest = number[:length], number[length:]
        for is_same in (
            lambda one, rest=rest: one.n_more == 0 and not rest,
            lambda one, rest=rest: one.n_more and len(rest) == one.n_more and rest.isdecimal(),
            lambda one: one.n_more is None,
        ):
            for one in rules:
                if one.prefix == prefix and is_same(one):
                    return one.outcome.replace("*", rest)
    return number


@given(st.lists(PATTERNS, max_size=8, unique=True), st.from_regex(r"\+?[01]{1,6}", fullmatch=True))
def test_the_longest_rule_wins(patterns: list[str], number: str) -> None:
    written = [(p, f"+{n}*" if "*" in p or "?" in p else f"+{n}") for n, p in enumerate(patterns) if p != "+"]
    rules = [rule(*pair) for pair in written]
    assert Rewriting(tuple(rules)).rewrite(number) == model(rules, number)
    assert Rewriting(tuple(reversed(rules))).rewrite(number) == model(rules, number)


@pytest.mark.parametrize(
    ("pattern", "outcome"),
    [("", "1"), ("0?*", "*"), ("a*", "*"), ("10086", "*"), ("0*", "+"), ("0*", "**"), ("0*", "")],
)
def test_what_is_no_rule(pattern: str, outcome: str) -> None:
    with pytest.raises(ValueError):
        rule(pattern, outcome)
