"""Phones that refresh as fast as they can beside calls: 10,000 bindings, 2,000 REGISTERs a second of one core,
each with a count of its nonce, and the calls hear nothing of it.
"""

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from benchmarks.machine import Usage
from benchmarks.registrar import Floor as Phones
from benchmarks.registrar import ha1
from tests.live.floor import HOST, Daemon
from tests.siege.crowd import Crowd, Fared
from tests.siege.ground import LOOPBACK, besiege, pid_of

SOURCE = "127.0.0.50"
N_CALLS, RATE = 20, 20.0
LOST, JITTER_MS = 0.001, 5.0  # a quarter of a packet
PER_CPU_S = 2000
LONG = 10_000


def floor_of(folder: Path, n_phones: int) -> Daemon:
    """With so many agents whose phones log in. Load is not judged: phones that refresh as fast as they can take a whole
    core, and calls that come then would get 503."""
    trunks = {name: {"from": sources} for name, sources in (*LOOPBACK.items(), ("phones", [SOURCE]))}
    daemon = besiege(folder, trunks=trunks, limits={"max load": "100%"})
    users = [str(10_000 + n) for n in range(n_phones)]
    staff = daemon.folder / "config" / "staff.yaml"
    written = yaml.safe_load(staff.read_text())
    written["agents"] |= {int(user): {"phone": "registered", "queues": ["crowd"]} for user in users}
    staff.write_text(yaml.safe_dump(written))
    passwords = daemon.folder / "var" / "phone-passwords.json"
    passwords.parent.mkdir()
    passwords.touch(0o600)
    rows = {user: {"realm": "agner", "ha1": {"SHA-256": ha1(user), "MD5": ha1(user, "md5")}} for user in users}
    passwords.write_text(json.dumps(rows))
    return daemon


async def beside_calls(daemon: Daemon, phones: Phones, n_rounds: int) -> tuple[float, float, Fared, Fared]:
    """Seconds of the clock and of the daemon's CPU; calls that began before, and calls that came meanwhile."""
    pid = pid_of(daemon)
    async with Crowd(daemon.port) as crowd:
        await crowd.call(N_CALLS, RATE, 0.3)  # warm
        there = [crowd.dial(600.0) for _ in range(N_CALLS)]
        await asyncio.sleep(0.5)
        before = Usage.of(pid, 0.0)
        refreshing = asyncio.create_task(asyncio.to_thread(phones.rounds, n_rounds, 200))
        coming = await crowd.call(N_CALLS, RATE, 0.6)
        seconds = await refreshing
        after = Usage.of(pid, 0.0)
        for leg in there:
            leg.hang_up()
        return seconds, after.cpu_s - before.cpu_s, await crowd.ended(there), coming


@pytest.mark.parametrize(("n_phones", "n_rounds"), [(500, 4), pytest.param(LONG, 3, marks=pytest.mark.siege)])
@pytest.mark.timeout(300)
def test_phones_that_refresh_harm_no_call(tmp_path, n_phones, n_rounds):
    daemon = floor_of(tmp_path / "daemon", n_phones)
    try:
        daemon.start()
        phones = Phones(n_phones, (HOST, daemon.port), SOURCE)
        phones.rounds(1, 401)
        phones.rounds(1, 200)
        seconds, cpu_s, there, coming = asyncio.run(beside_calls(daemon, phones, n_rounds))
        rows = daemon.ask("phones")
        daemon.until_clean()
    finally:
        daemon.close()
    n = n_phones * n_rounds
    print(f"{n} REGISTERs of {n_phones} phones in {seconds:.1f} s, {cpu_s:.1f} s of CPU with the calls:")
    print(f"{n / seconds:.0f} a second, {n / cpu_s:.0f} a second of CPU; {phones.n_lost} sent again")
    print(f"calls in progress: {there}\ncalls that came: {coming}")
    assert sum(row["state"] == "there" for row in rows) == n_phones
    assert (there.n_good, coming.n_good) == (N_CALLS, N_CALLS), there.failures + coming.failures
    assert there.n_lost <= LOST * sum(one["n_received"] for one in there.streams)
    if n_phones == LONG:  # times are judged in the long run, which has the machine to itself
        assert n / cpu_s >= PER_CPU_S and there.jitter_ms <= JITTER_MS
