"""A folder with the shipped configuration to run the command line in, and a daemon's socket with a small floor."""

import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from engine.control import ControlError, ControlServer

ROOT = Path(__file__).parents[2]

AGENTS = [
    {"agent": "amy", "name": "Amy Ding", "state": "READY", "reason": "", "state_s": 12.34, "call": None,
     "phone": "sip:amy@127.0.0.1:6001", "queues": ["support"], "skills": {"billing": 3}},
    {"agent": "bob", "name": "Bob [red]Li", "state": "NOT_READY", "reason": "lunch", "state_s": 3.0, "call": None,
     "phone": "sip:bob@127.0.0.1:6002", "queues": ["support", "sales"], "skills": {}},
]  # fmt: skip
COUNTS = {"logged_in": 2, "ready": 1, "reserved": 0, "talking": 0, "acw": 0, "not_ready": 1}
QUEUES = [
    {"queue": "support", "waiting": 20, "longest_wait_s": 41.26, "agents": COUNTS, "offered": 9, "answered": 5,
     "abandoned": 2, "timed_out": 1, "sl_percent": 62.5, "sl_target": "80/20", "asa_s": 7.77},
    {"queue": "sales", "waiting": 0, "longest_wait_s": 0.0, "agents": COUNTS, "offered": 0, "answered": 0,
     "abandoned": 0, "timed_out": 0, "sl_percent": None, "sl_target": "80/20", "asa_s": None},
]  # fmt: skip


def call(n, **changes):
    row = {
        "call": f"c{n}", "trunk": "carrier", "ani": f"+86138{n:04}", "dnis": "4001", "state": "QUEUED",
        "state_s": 1.5 + n, "age_s": 4.0 + n, "queue": "support", "position": n, "wait_s": 1.5 + n, "agent": None,
        "step": "main.yaml:12",
    }  # fmt: skip
    return row | changes


TALKING = call(99, state="TALKING", position=None, wait_s=None, agent="amy", ani="\x1b[2J[bold]evil")
CALLS = [*(call(n) for n in range(20, 0, -1)), TALKING]
STATUS = {
    "version": "0.1.0", "pid": 1, "uptime_s": 3661.0, "draining": False, "n_calls": 21, "n_legs": 22, "n_slots": 23,
    "calls_total": 500, "calls_per_s": 3.5, "records_pending": 4, "trace_dropped": 0, "storage_ok": True,
    "recordings_ok": True, "load": 0.25, "engine_delay_ms": 0.8,
}  # fmt: skip


class Floor:
    """Answers as the board does, and notes what it was told to do."""

    def __init__(self):
        self.told = []
        self.status = dict(STATUS)

    def answer(self, request):
        match request.pop("do"):
            case "queues":
                return QUEUES
            case "agents":
                return AGENTS
            case "calls":
                return CALLS
            case "floor":
                return {"status": self.status, "queues": QUEUES, "agents": AGENTS, "calls": CALLS}
            case "call" if request["id"] == "c1":
                return call(1, plan="main", answered_s=2.25, recording="a/c1.wav", legs=[{"leg": 4, "offer": 0}])
            case "hangup" | "agent_login" | "agent_logout" | "agent_ready" | "agent_not_ready" as verb if request[
                "id"
            ] in ("c1", "amy", "bob"):
                self.told.append((verb, request))
                return {} if verb == "hangup" else {**AGENTS[0], "agent": request["id"], "state": "NOT_READY"}
        raise ControlError(f"no {request['id']!r} here")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "config").symlink_to(ROOT / "config")
    (tmp_path / "prompts").symlink_to(ROOT / "prompts")
    (tmp_path / "var").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def agner(folder):
    """Run one command line; the result has exit_code, stdout, stderr."""
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


@contextmanager
def listening(folder, answer):
    server, over = ControlServer(folder / "var" / "agner.sock"), threading.Event()

    def run():
        while not over.wait(0.005):
            server.serve(answer)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        server.close()


@pytest.fixture
def floor(folder):
    answering = Floor()
    with listening(folder, answering.answer):
        yield answering


class Daemon:
    """Notes what commands ask or tell it, and answers what it was given to answer: rows, or a refusal."""

    def __init__(self):
        self.asked = []
        self.answers = {}

    def answer(self, request):
        self.asked.append(request)
        answer = self.answers.get(request["do"], {})
        if isinstance(answer, str):
            raise ControlError(answer)
        return answer


@pytest.fixture
def daemon(folder):
    running = Daemon()
    with listening(folder, running.answer):
        yield running
