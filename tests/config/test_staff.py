"""What staff.yaml says of who is asked for a call: groups, reserves, ring at once, weights, own wrap-up."""

import shutil
from dataclasses import fields
from math import inf
from pathlib import Path

import pytest

from engine.callflow.staff import Queue, Serves, Staff, srtp_of_phones
from engine.config import Complaints, load

HERE = Path(__file__).parent
SAID = """
skills: [mandarin, english]
groups: [vip, gold]
queues:
  sales:
    strategy: weighted
    max length: 5
    max expected wait: 10m
    ring at once: 3
    reserves: { from wait: 30s, until wait: 10s, from service level: 70%, until service level: 85% }
  support: { ring at once: all, reserves: { from wait: 20s } }
agents:
  1001:
    phone: sip:1001@127.0.0.1
    groups: vip
    wrap up: 90s
    srtp: off
    queues: { sales: { weight: 3, reserve: yes } }
  1002:
    { phone: sip:1002@127.0.0.1, skills: { mandarin: 60, english: 70 }, groups: [gold, vip], queues: [sales, support] }
"""


def staff_of(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Staff:
    shutil.copytree(HERE / "good", folder, dirs_exist_ok=True)
    (folder / "config" / "staff.yaml").write_text(text)
    monkeypatch.chdir(folder)
    return load("config").staff


def test_who_is_asked_becomes_what_it_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staff = staff_of(SAID, tmp_path, monkeypatch)
    sales, support = staff.queues["sales"], staff.queues["support"]
    assert (sales.n_ring, sales.max_ewt_s, sales.strategy) == (3, 600.0, "weighted")
    assert (sales.reserve_on_s, sales.reserve_off_s) == (30.0, 10.0)
    assert (sales.reserve_on_sl, sales.reserve_off_sl) == (70.0, 85.0)
    assert (support.n_ring, support.reserve_on_s, support.reserve_off_s) == (0, 20.0, 20.0)
    assert staff.groups == ("vip", "gold") and staff.agents["1002"].groups == ("gold", "vip")
    assert staff.agents["1001"].queues == (Serves("sales", weight=3, reserve=True),)
    assert (staff.agents["1001"].wrap_up_s, staff.agents["1002"].wrap_up_s) == (90.0, None)
    assert srtp_of_phones(staff) == {"sip:1001@127.0.0.1": "off"}  # 1002 as all phones


def test_what_is_not_said_is_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "queues: { sales: { max length: 5 }, support: {} }\nskills: [mandarin, english]\nagents:\n"
    text += "  1001: { phone: sip:1@127.0.0.1, skills: { mandarin: 60, english: 70 }, queues: [sales, support] }\n"
    queue = staff_of(text, tmp_path, monkeypatch).queues["support"]
    assert queue == Queue("support") and queue.n_ring == 1 and queue.reserve_on_s == inf
    assert {field.name for field in fields(queue)} >= {"n_ring", "max_ewt_s", "reserve_on_s", "reserve_off_sl"}


def test_too_many_different_waits_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "skills: [mandarin, english]\nqueues: { sales: { max length: 5 }, support: {} }\nagents:\n"
    for n in range(1, 33):
        served = f"[support, sales: {{ from: {n}s }}]"
        skills = "{ mandarin: 60, english: 70 }"
        text += f"  a{n}: {{ phone: sip:{n}@127.0.0.1, skills: {skills}, queues: {served} }}\n"
    with pytest.raises(Complaints) as caught:
        staff_of(text, tmp_path, monkeypatch)
    assert 'agents serve queue "sales" from 32 different waits on; 30 at most' in str(caught.value)
