"""Each patch in pjsip/patches does what it is for. patches.c plays the moment that upstream gets wrong.

Against upstream's 2.17 as it is, they fail: 6 names asked for, 1 byte behind the buffer, no tick left out and a
timestamp that is 1,480 ms behind, 200 waits in 50 ticks for threads that have nothing to do and half the time of a
tick for disabled ports, a port of 84 kB, a connected port, 1 packet of 5 heard, an RSA key, 4 waits for threads that
sleep for 250 ms, 50 looks, a length of 70004, 16,000 octets to spare, a transport of 13 kB, no port found. crypto-lines
alone passes there too: what the surplus overwrites is the compiler's choice, and in our build it is a buffer that is
not yet in use. rtp-port-search is played by a call, as any caller can. dropped-message adds what the gate needs:
test_gate.py counts and bans the sender of garbage. closed-connection is in test_connections.py, comfort-noise in
tests/live/test_comfort_noise.py, invite-end in test_repeats.py, large-requests in test_large_requests.py, server-name
in test_server_names.py.
"""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.callflow import events as e
from engine.callflow import settings
from tests.sip.peers import HOST, Ear, got, invite, pause, request

ROOT = Path(__file__).resolve().parents[2]
PROVEN = {
    "address-lookup": "0 2",  # names asked for; addresses taken
    "array-header": "0",  # bytes behind the buffer
    "clock-jump": "0 1 1 1",  # after 250 and 1,500 ms without CPU: ticks left out; a timestamp as on the wall
    # disabled ports take less than a tenth; their frames; waits for threads; frames of one; 40 sources are shared
    "conference-idle": "1 0 0 50 1",
    "conference-listeners": "1 40",  # a port takes less than 20 kB; its listeners
    "conference-removal": "0",  # connected while it goes
    "crypto-lines": "68 0 1068",  # lines, status, tag of the line that is answered
    "deaf-stream": "5",  # packets heard, of one before the start and four after it
    "dtls-certificate": "0 0",  # status; RSA keys made
    "dtls-clock": "2 0 4 1",  # sides that have keys; threads waited for until then, to the end; none sleeps for long
    "empty-multipart": "-1",
    "media-poll": "1",  # less than 10 times in half a second
    "message-buffers": "1 1 9010",  # octets to spare, of a message and of a longer one; its header
    "rtp-buffers": "1",  # a transport takes less than 10 kB
    "sdp-newlines": "0",  # media; without it, no process
}
ELSEWHERE = {
    *("rtp-port-search", "dropped-message", "closed-connection", "comfort-noise", "large-requests", "record-route"),
    *("invite-end", "server-name"),
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pjsip = json.loads((Path(sys.prefix) / "agner-pjsip.json").read_text())
    program = tmp_path_factory.mktemp("patches") / "patches"
    command = ["gcc", "-O1", "-g", "-Wall", "-Wextra", "-rdynamic", "-isystem", pjsip["include_dir"]]
    command += [*pjsip["compile_args"], str(ROOT / "tests/sip/patches.c"), "-o", str(program)]
    command += [f"-L{pjsip['library_dir']}", f"-Wl,-rpath,{pjsip['library_dir']}"]
    command += [f"-l{library}" for library in pjsip["libraries"]] + ["-ldl"]
    subprocess.run(command, check=True)
    return program


def test_every_patch_has_its_proof() -> None:
    names = {path.stem for path in (ROOT / "pjsip/patches").glob("*.patch")}
    assert names == {*PROVEN, *ELSEWHERE}


@pytest.mark.parametrize("patch", PROVEN)
def test_patch(program: Path, patch: str) -> None:
    done = subprocess.run([program, patch], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout.strip()) == (0, PROVEN[patch])


@pytest.fixture
def foot_of_the_range() -> Iterator[int]:
    """The first port of a range whose first 120 pairs somebody else has."""
    first, taken = 18400, []
    for port in range(first, first + 240, 2):
        taken.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        taken[-1].bind((HOST, port))
    yield first
    for each in taken:
        each.close()


def test_rtp_port_search_passes_busy_pairs(foot_of_the_range, sipp) -> None:
    ear = Ear()
    ear.start(settings.Limits(max_calls=10), rtp_from=foot_of_the_range, rtp_to=foot_of_the_range + 400)
    ear.on_post = lambda call, event: ear.endpoint.answer(event.leg) if isinstance(event, e.CallArrived) else None
    try:
        caller = sipp(invite(), got(100, True), got(200), request("ACK"), pause(50), request("BYE", 2), got(200))
        ear.until(caller.done)
        assert caller.passed()
        ear.until(lambda: ear.all(e.LegEnded))
        assert ear.story() == ["CallArrived", "LegMedia", "CallerAnswered", "CallerGone", "LegEnded"]
    finally:
        ear.endpoint.close()
