"""A name server that stalls, or that a firewall keeps away, holds up no call."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.live.phones import AGENT_PORTS, ANSWERS, hangs_up_after, when
from tests.sip.peers import got, invite, request, sdp
from tests.sip.peers import in_dialog_ok as ok

STALL_S = 3.0  # as stalled_names.c has it


@pytest.fixture
def stalled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "stalled_names.so"
    source = Path(__file__).with_name("stalled_names.c")
    subprocess.run(["gcc", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    asks = f"import socket\ntry: socket.getaddrinfo('{socket.gethostname()}', 5060)\nexcept OSError: pass"
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", asks], check=True)
    assert time.monotonic() - began >= STALL_S, "names are looked up in another way here: this test would see nothing"


@pytest.mark.usefixtures("stalled")
def test_calls_go_on(start, make_floor):
    daemon = start()
    floor = make_floor(daemon)
    nowhere = invite(sdp().replace("[media_ip]", "media.example"))  # a name is no address: it is not looked up
    floor.sipp_calls("101", "6802", nowhere, got(100, True), got(488), request("ACK")).wait(STALL_S / 2)
    phone = floor.sipp_phone(AGENT_PORTS["1001"], *ANSWERS, got("BYE"), ok())
    daemon.seat("1001")
    caller = floor.sipp_calls("100", "6801", *hangs_up_after(300))
    for party in (phone, caller):
        party.wait(10)
    assert daemon.cdr("6801")["disposition"] == "answered"
    assert when(phone, "received", "INVITE") - when(caller, "sent", "INVITE") < STALL_S / 2
