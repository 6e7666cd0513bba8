"""Digest answers: by the RFC's own example, by every way in which one can be wrong, and against a plain model of what
a nonce is good for. The clock is passed in.
"""

import hashlib
import statistics
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sip.digest import HASHES, Authorization, Digest, Verdict

REALM, HOME, AWAY = "agner", "192.0.2.1", "198.51.100.9"
SECRET = b"0123456789abcdef"


def ha1(user: str, password: str, realm: str = REALM) -> dict[str, str]:
    return {name: h(f"{user}:{realm}:{password}".encode()).hexdigest() for name, h in HASHES.items()}


CREDENTIALS = {"1001": ha1("1001", "right horse"), "1002": ha1("1002", "other horse")}


def digest(**how) -> Digest:
    return Digest(REALM, SECRET, CREDENTIALS, **how)


def nonce_of(challenge: str) -> str:
    return challenge.partition('nonce="')[2].partition('"')[0]


def answer(nonce: str, nc: int = 1, password: str = "right horse", user: str = "1001", **changes: str) -> Authorization:
    """As RFC 7616 section 3.4 says, written out."""
    name = changes.get("algorithm", "SHA-256")
    h = HASHES[name or "MD5"]
    a1 = h(f"{user}:{REALM}:{password}".encode()).hexdigest()
    a2 = h(b"REGISTER:sip:agner").hexdigest()
    response = h(f"{a1}:{nonce}:{nc:08x}:cn:auth:{a2}".encode()).hexdigest()
    made = Authorization(user, REALM, nonce, "sip:agner", response, name, "cn", "auth", f"{nc:08x}")
    return made._replace(**changes)


def check(one: Digest, made: Authorization, now: float = 0.0, source: str = HOME) -> Verdict:
    return one.check("REGISTER", [made], source, now)[0]


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_rfc_7616(algorithm: str, response: str, monkeypatch: pytest.MonkeyPatch):
    """Section 3.9.1."""
    user, realm = "Mufasa", "http-auth@example.org"
    one = Digest(realm, SECRET, {user: ha1(user, "Circle of Life", realm)})
    monkeypatch.setattr(one, "_given_ms", lambda nonce, source: 0)
    nonce, cnonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    made = Authorization(user, realm, nonce, "/dir/index.html", response, algorithm, cnonce, "auth", "00000001")
    monkeypatch.setattr(one, "_count", lambda *_: None)
    assert one.check("GET", [made], HOME, 0.0) == (Verdict.RIGHT, user)


def test_two_challenges_the_stronger_first_each_with_a_fresh_nonce():
    one = digest()
    first, second = one.challenges(HOME, 1.0), one.challenges(HOME, 1.0)
    assert ["algorithm=SHA-256" in first[0], "algorithm=MD5" in first[1]] == [True, True]
    assert all('qop="auth"' in line and "stale" not in line for line in first)
    assert nonce_of(first[0]) == nonce_of(first[1]) != nonce_of(second[0])
    assert all("stale=true" in line for line in one.challenges(HOME, 1.0, stale=True))


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5", ""])
def test_a_right_answer(algorithm: str):
    one = digest()
    nonce = nonce_of(one.challenges(HOME, 0.0)[0])
    assert one.check("REGISTER", [answer(nonce, algorithm=algorithm)], HOME, 1.0) == (Verdict.RIGHT, "1001")


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"password": "wrong"}, Verdict.WRONG),
        ({"user": "nobody"}, Verdict.WRONG),
        ({"username": "1002"}, Verdict.WRONG),
        ({"uri": "sip:elsewhere"}, Verdict.WRONG),
        ({"cnonce": "other"}, Verdict.WRONG),
        ({"nc": "00000002"}, Verdict.WRONG),
        ({"response": ""}, Verdict.WRONG),
        ({"response": "ä"}, Verdict.WRONG),
        ({"nonce": "made up"}, Verdict.STALE),
        ({"nonce": "ä" * 52}, Verdict.STALE),
        ({"nc": ""}, Verdict.STALE),
        ({"nc": "1"}, Verdict.STALE),
        ({"nc": "-0000001"}, Verdict.STALE),
        ({"nc": "0000000g"}, Verdict.STALE),
        ({"realm": "elsewhere"}, Verdict.NONE),
        ({"qop": ""}, Verdict.NONE),
        ({"qop": "auth-int"}, Verdict.NONE),
    ],
)
def test_a_wrong_answer(changes: dict, verdict: Verdict):
    one = digest()
    who = {name: value for name, value in changes.items() if name in ("password", "user")}
    made = answer(nonce_of(one.challenges(HOME, 0.0)[0]), **who)
    made = made._replace(**{name: value for name, value in changes.items() if name not in who})
    assert check(one, made) == verdict


def test_no_session_algorithm():
    one = digest()
    made = answer(nonce_of(one.challenges(HOME, 0.0)[0]))._replace(algorithm="MD5-sess")
    assert check(one, made) == Verdict.NONE


def test_a_nonce_is_good_for_its_address_alone_and_says_nothing_about_the_password_elsewhere():
    one = digest()
    nonce = nonce_of(one.challenges(HOME, 0.0)[0])
    for password in ("right horse", "wrong"):
        assert check(one, answer(nonce, password=password), source=AWAY) == Verdict.STALE
        assert check(one, answer(nonce, password=password), now=300.0) == Verdict.STALE
        assert check(digest_of_another_run(), answer(nonce, password=password)) == Verdict.STALE
    assert check(one, answer(nonce)) == Verdict.RIGHT


def digest_of_another_run() -> Digest:
    return Digest(REALM, b"fedcba9876543210", CREDENTIALS)


@pytest.mark.parametrize("at", range(52))
def test_a_nonce_cannot_be_forged(at: int):
    one = digest()
    nonce = nonce_of(one.challenges(HOME, 5.0)[0])
    forged = nonce[:at] + ("0" if nonce[at] != "0" else "1") + nonce[at + 1 :]
    assert check(one, answer(forged), now=5.0) == Verdict.STALE


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 6), st.sampled_from([0.0, 1.0, 4.0]), st.booleans()), max_size=60
    )
)
def test_no_count_is_taken_twice(steps: list[tuple[int, int, float, bool]]):
    """Against the plain rule: right once for each count above the last, within the time. A small table may refuse
    more, never less."""
    one, small = digest(nonce_s=10.0), digest(nonce_s=10.0, n_nonces=2)
    now = 0.0
    given: list[tuple[float, str]] = []
    last: dict[str, int] = {}
    for which, nc, later, is_wrong in steps:
        now += later
        while len(given) <= which:
            nonces = nonce_of(one.challenges(HOME, now)[0]), nonce_of(small.challenges(HOME, now)[0])
            assert nonces[0] == nonces[1]
            given.append((now, nonces[0]))
        at, nonce = given[which]
        made = answer(nonce, nc, "wrong" if is_wrong else "right horse")
        if now >= at + 10.0:
            expected = Verdict.STALE
        elif is_wrong:
            expected = Verdict.WRONG
        elif nc <= last.get(nonce, 0):
            expected = Verdict.STALE
        else:
            expected = Verdict.RIGHT
        found, in_small = check(one, made, now), check(small, made, now)
        assert found == expected
        assert in_small in (expected, Verdict.STALE)
        if expected == Verdict.RIGHT:
            last[nonce] = nc
        assert len(one._counts) <= len(given) and len(small._counts) <= 2


def test_a_full_table_forgets_no_count():
    """What falls out of it is stale: a replay is refused for ever."""
    one = digest(n_nonces=3)
    nonces = [nonce_of(one.challenges(HOME, n * 0.01)[0]) for n in range(5)]
    for nonce in nonces:
        assert check(one, answer(nonce), now=1.0) == Verdict.RIGHT
    assert [check(one, answer(nonce), now=1.0) for nonce in nonces] == [Verdict.STALE] * 5
    assert [check(one, answer(nonce, nc=2), now=1.0) for nonce in nonces] == [Verdict.STALE] * 2 + [Verdict.RIGHT] * 3


def test_known_and_unknown_users_cost_the_same():
    """S3 asks for less than 1 ms between them; these are microseconds."""
    one = digest()
    nonce = nonce_of(one.challenges(HOME, 0.0)[0])
    made = {user: answer(nonce, user=user, password="wrong") for user in ("1001", "nobody")}
    taken: dict[str, list[float]] = {"1001": [], "nobody": []}
    for _ in range(2000):
        for user, one_answer in made.items():
            began = time.perf_counter()
            assert check(one, one_answer) == Verdict.WRONG
            taken[user].append(time.perf_counter() - began)
    known, unknown = (statistics.median(each) for each in taken.values())
    assert abs(known - unknown) < 50e-6


def test_nothing_of_a_password_is_kept():
    assert hashlib.md5(b"1001:agner:right horse").hexdigest() == CREDENTIALS["1001"]["MD5"]
    assert "right horse" not in repr(CREDENTIALS)


def test_a_count_that_is_not_kept_is_seen(monkeypatch: pytest.MonkeyPatch):
    """The control of the property above."""
    monkeypatch.setattr(Digest, "_count", lambda self, nonce, nc, now: None)
    with pytest.raises(AssertionError):
        test_no_count_is_taken_twice()
