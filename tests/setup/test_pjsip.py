"""The PJSIP that pjsip/build.py made: what the engine relies on is compiled in. Counterpart: pjsip/config_site.h."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RECORD = json.loads((Path(sys.prefix) / "agner-pjsip.json").read_text())
ROOT = Path(__file__).parents[2]


def probe(*arguments: str) -> str:
    command = [sys.executable, "-m", "tests.setup.probe", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout.rpartition("probe: ")[2].strip()


def test_codecs() -> None:
    assert {"PCMU/8000/1", "PCMA/8000/1", "G722/16000/1", "opus/48000/2"} <= set(probe("codecs").split())


@pytest.mark.parametrize("surplus", [0, 1])
def test_the_recorded_call_limit_is_the_compiled_one(surplus: int) -> None:
    """PJSIP clamps a higher maxCalls without a word, which shows what it was compiled for."""
    limit = RECORD["limits"]["PJSUA_MAX_CALLS"]
    assert probe("calls", f"{RECORD['library_dir']}/libpjsua.so.2", str(limit + surplus)) == str(limit)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("PJSUA_MAX_CALLS", 4096),
        ("PJSUA_MAX_ACC", 64),
        ("PJSUA_MAX_CONF_PORTS", 8192),
        ("PJ_IOQUEUE_MAX_HANDLES", 8192),
        ("PJSIP_MAX_TSX_COUNT", 25600),
        ("PJSIP_MAX_DIALOG_COUNT", 8191),
        ("PJMEDIA_RTP_NAT_PROBATION_CNT", 250),
    ],
)
def test_limits_are_a_switchs(name: str, least: int) -> None:
    assert RECORD["limits"][name] >= least


def test_sockets_above_what_select_can_watch_are_served() -> None:
    assert probe("answer", "options", "1200") == "200 above 1200 descriptors"


def test_an_offer_that_trips_an_assertion_does_not_stop_the_process() -> None:
    """c= in the audio section only and a disabled video section: this aborted a build with assertions."""
    assert probe("answer", "invite", "0") == "488 above 0 descriptors"


def test_the_media_ports_and_pjsua2_share_one_library() -> None:
    """Two copies of libpjsua in one process would be two half-started SIP stacks."""
    assert probe("libraries") == str(Path(RECORD["library_dir"], "libpjsua.so.2").resolve())


def test_every_patch_is_in() -> None:
    assert sorted(RECORD["patches"]) == sorted(path.stem for path in (ROOT / "pjsip/patches").glob("*.patch"))
