"""Queueing theory as the judge: stationary formulas, each with its source. lam: arrivals per s, mu: services per s and
agent.

Counterpart: test_queueing_theory.py, which asks engine/simulate.py for the same figures.
"""

import math
from collections.abc import Mapping
from functools import reduce
from itertools import permutations


def erlang_b(n: int, a: float) -> float:
    """Blocking of n servers offered a erlang (Erlang 1917), by the usual recursion."""
    return reduce(lambda b, k: a * b / (k + a * b), range(1, n + 1), 1.0)


def erlang_c(n: int, a: float) -> float:
    """P(wait > 0) of M/M/n (Erlang 1917)."""
    b = erlang_b(n, a)
    return n * b / (n - a * (1 - b))


def mmn(n: int, lam: float, mu: float, t: float) -> tuple[float, float, float]:
    """M/M/n: P(wait > 0), mean wait, P(wait > t)."""
    c = erlang_c(n, lam / mu)
    return c, c / (n * mu - lam), c * math.exp(-(n * mu - lam) * t)


def erlang_a(n: int, lam: float, mu: float, theta: float) -> tuple[float, float, float]:
    """M/M/n+M: P(wait > 0), P(abandon), mean time in line of all. Palm 1957; Garnett, Mandelbaum, Reiman 2002.

    From the birth-death chain itself: in state j calls arrive at lam and leave at min(j, n) mu + max(j - n, 0) theta.
    """
    weights, j = [1.0], 0
    while j < n or weights[-1] > 1e-18 * sum(weights):
        j += 1
        weights.append(weights[-1] * lam / (min(j, n) * mu + max(j - n, 0) * theta))
    total = sum(weights)
    waiting = sum(max(j - n, 0) * w for j, w in enumerate(weights)) / total
    return sum(weights[n:]) / total, theta * waiting / lam, waiting / lam


def deterministic_patience(n: int, lam: float, mu: float, tau: float) -> tuple[float, float]:
    """M/M/n+D: P(wait > 0), P(abandon). Barrer 1957; Baccelli and Hebuterne 1981.

    The offered wait has density lam p(n-1) exp(lam min(x, tau) - n mu x) for x > 0; who would wait beyond tau abandons.
    """
    a = lam / mu
    p = [a**j / math.factorial(j) for j in range(n)]
    below = lam * p[n - 1] * (1 - math.exp((lam - n * mu) * tau)) / (n * mu - lam)
    beyond = lam * p[n - 1] * math.exp((lam - n * mu) * tau) / (n * mu)
    total = sum(p) + below + beyond
    return (below + beyond) / total, beyond / total


def cobham(n: int, lams: list[float], mu: float) -> list[float]:
    """Mean waits of classes under non-preemptive priority, first class first. Cobham 1954; n servers: Kella, Yechiali
    1985."""
    residual = erlang_c(n, sum(lams) / mu) / (n * mu)
    loads = [sum(lams[:k]) / (n * mu) for k in range(len(lams) + 1)]
    return [residual / ((1 - loads[k]) * (1 - loads[k + 1])) for k in range(len(lams))]


def fcfs_alis(lams: Mapping[str, float], serves: Mapping[str, set[str]], mu: float) -> tuple[dict[str, float], float]:
    """Mean wait of each class and P(no agent busy) when agents of different skills serve first come, first served, and
    the longest idle able agent is taken. Product form of Visschers, Adan, Weiss 2012; Adan, Weiss 2014 (FCFS-ALIS).

    A state lists the busy agents in the order of the calls they serve, with those waiting in between (only calls that
    none but the agents before them can serve), then the idle ones, the longest idle last:
    prod_j lam(U_j)^n_j / mu(1..j)^(n_j + 1) times prod over idle of 1 / lam(classes the idle from there on can serve).
    """
    total = empty = 0.0
    in_line = dict.fromkeys(lams, 0.0)
    for order in permutations(serves):
        for n_busy in range(len(order) + 1):
            weight = 1.0
            for j in range(n_busy, len(order)):
                weight /= sum(lams[c] for c in set().union(*(serves[s] for s in order[j:])))
            held = []
            for j in range(1, n_busy + 1):
                others = set().union(*(serves[s] for s in order if s not in order[:j])) if j < len(order) else set()
                only = [c for c in lams if c not in others]
                load = sum(lams[c] for c in only) / (j * mu)
                weight /= j * mu * (1 - load)  # the sum over n_j of load^n_j
                held.append((only, load / (1 - load)))
            total += weight
            empty += weight if n_busy == 0 else 0.0
            for only, mean in held:
                for c in only:
                    in_line[c] += weight * mean * lams[c] / sum(lams[d] for d in only)
    return {c: in_line[c] / total / lams[c] for c in lams}, empty / total
