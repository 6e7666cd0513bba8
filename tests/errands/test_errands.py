"""Errands against real servers that are slow, dead, or lie; and a resolver and a database that stall."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from engine import errands
from engine.callflow.record import Customer
from engine.callflow.settings import WebLookUp
from engine.errands import Errands, values_of

WITHIN_S = 0.4
PATIENCE_S = 5.0


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.over = threading.Event()
        self.posted: list[Any] = []
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has had enough hangs up; that is what is tested."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        getattr(self, self.path.split("/")[1])()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append(json.loads(body))
        getattr(self, self.path.split("/")[1])()

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def found(self) -> None:
        self.answer(200, json.dumps({"name": "王小姐", "level": "vip", "n": 3, "is_new": False, "x": [1]}).encode())

    def missing(self) -> None:
        self.answer(404)

    def broken(self) -> None:
        self.answer(500, b'{"name": "no"}')

    def moved(self) -> None:
        self.answer(302, Location=self.server.url("found"))

    def bad_json(self) -> None:
        self.answer(200, b"{'name': ")

    def deep_json(self) -> None:
        self.answer(200, b"[" * 60_000)

    def no_object(self) -> None:
        self.answer(200, b'["vip"]')

    def no_http(self) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH_9.7\r\n")
        self.close_connection = True

    def hangs_up(self) -> None:
        self.close_connection = True

    def huge(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(1 << 40))
        self.end_headers()
        while not self.server.over.is_set():
            self.wfile.write(b" " * 65536)

    def silent(self) -> None:
        self.server.over.wait(60)

    def drops_of_header(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not self.server.over.wait(0.05):
            self.wfile.write(b"x")

    def drops_of_body(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not self.server.over.wait(0.05):
            self.wfile.write(b" ")

    def log_message(self, *_: Any) -> None:
        pass


class Database:
    """Knows one customer. A question for `stuck` hangs until `go`."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.is_closed = False

    def customer(self, number: str) -> Customer | None:
        if number == "stuck":
            self.go.wait(30)
        if number == "broken":
            raise RuntimeError("no database")
        return Customer(number, "王小姐", "vip", last_order_agent="1001") if number == "1" else None

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def desk(server: Server) -> Iterator[Errands[Database]]:
    names = [name for name in vars(Handler) if not name.startswith(("_", "do_"))]
    look_ups = {name: WebLookUp(name, server.url(name + "/{number}"), WITHIN_S) for name in names}
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    look_ups["dead"] = WebLookUp("dead", f"http://127.0.0.1:{port}/{{number}}", WITHIN_S)
    look_ups["stalled"] = WebLookUp("stalled", "http://stalled.test/{number}", WITHIN_S)
    look_ups["no_name"] = WebLookUp("no_name", "http://no-such-name.invalid/{number}", WITHIN_S)
    look_ups["no_url"] = WebLookUp("no_url", "ftp:///{number}", WITHIN_S)
    desk = Errands(look_ups, Database())
    yield desk
    desk._database.go.set()
    desk.close()


Answers = list[tuple[str, dict[str, str]]]


def start(desk: Errands[Database], source: str, number: str = "1", n: int = 1) -> Answers:
    answers: Answers = []
    for _ in range(n):
        began = time.monotonic()
        desk.look_up(source, number, 10.0, lambda result, values: answers.append((result, dict(values))))
        assert time.monotonic() - began < 0.1, "the engine was held"
    return answers


def wait(desk: Errands[Database], answers: Answers, n: int = 1, within_s: float = PATIENCE_S) -> Answers:
    until = time.monotonic() + within_s
    while len(answers) < n and time.monotonic() < until:
        desk.poll()
        time.sleep(0.005)
    assert len(answers) == n
    return answers


# ---- the web


def test_what_a_server_knows_is_found(desk: Errands[Database], server: Server) -> None:
    expected = {"name": "王小姐", "level": "vip", "n": "3", "is_new": "false"}
    assert wait(desk, start(desk, "found", "+86/1")) == [("found", expected)]
    assert server.asked == ["/found/%2B86%2F1"]


def test_404_is_nobody(desk: Errands[Database]) -> None:
    assert wait(desk, start(desk, "missing")) == [("unknown", {})]


@pytest.mark.parametrize(
    "source", "broken moved bad_json deep_json no_object no_http hangs_up huge dead no_name no_url nowhere".split()
)
def test_a_server_that_lies_or_is_dead_has_failed(desk: Errands[Database], source: str) -> None:
    assert wait(desk, start(desk, source)) == [("failed", {})]


@pytest.mark.parametrize("source", ["silent", "drops_of_header", "drops_of_body"])
def test_a_slow_server_has_failed_at_its_deadline(desk: Errands[Database], source: str) -> None:
    began = time.monotonic()
    answers = start(desk, source, n=5)
    found = start(desk, "found")
    wait(desk, found)
    assert not answers, "the others wait for the slow one"
    wait(desk, answers, 5)
    assert WITHIN_S <= time.monotonic() - began < WITHIN_S + 1.0
    assert {result for result, _ in answers} == {"failed"}


def test_more_than_a_server_takes_have_failed_at_once(desk: Errands[Database]) -> None:
    answers = start(desk, "silent", n=errands.MAX_REQUESTS + 10)
    desk.poll()
    assert len(answers) == 10
    assert wait(desk, start(desk, "found"))[0][0] == "found"
    wait(desk, answers, errands.MAX_REQUESTS + 10)
    assert wait(desk, start(desk, "missing")) == [("unknown", {})]


def test_a_stalled_resolver_holds_one_thread_and_nobody(desk: Errands[Database], monkeypatch: Any) -> None:
    go = threading.Event()
    real = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **named: Any) -> Any:
        if host == "stalled.test":
            go.wait(30)
            raise OSError("no answer")
        return real(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    answers = start(desk, "stalled", n=20)
    assert wait(desk, start(desk, "found"))[0][0] == "found"
    wait(desk, answers, 20)
    assert sum(thread.name == "resolver" for thread in threading.enumerate()) == 1
    go.set()


def test_connections_are_kept(desk: Errands[Database], server: Server, monkeypatch: Any) -> None:
    n_connections = 0
    accept = server.get_request

    def count() -> Any:
        nonlocal n_connections
        n_connections += 1
        return accept()

    monkeypatch.setattr(server, "get_request", count)
    for _ in range(20):
        wait(desk, start(desk, "found"))
    assert n_connections == 1


# ---- the database


def test_a_customer_is_found_by_the_database(desk: Errands[Database]) -> None:
    expected = {"number": "1", "name": "王小姐", "level": "vip", "agent": "1001"}
    assert wait(desk, start(desk, "customers")) == [("found", expected)]
    assert wait(desk, start(desk, "customers", "2")) == [("unknown", {})]
    assert wait(desk, start(desk, "customers", "broken")) == [("failed", {})]


def test_a_database_that_hangs_fills_its_queue_and_no_more(desk: Errands[Database]) -> None:
    start(desk, "customers", "stuck")
    time.sleep(0.05)
    answers = start(desk, "customers", n=errands.MAX_QUESTIONS + 5)
    desk.poll()
    assert [result for result, _ in answers] == ["failed"] * 5
    assert wait(desk, start(desk, "found"))[0][0] == "found"
    desk._database.go.set()
    wait(desk, answers, errands.MAX_QUESTIONS + 5)
    assert answers[-1][0] == "found"


def test_a_question_nobody_waits_for_any_more_is_not_put(desk: Errands[Database]) -> None:
    start(desk, "customers", "stuck")
    answers: list[Any] = []
    desk.ask(lambda database: database.customer("1"), answers.append, 0.05)
    time.sleep(0.1)
    desk._database.go.set()
    wait(desk, answers)
    assert isinstance(answers[0], TimeoutError)


# ---- webhooks


def test_a_webhook_tells_in_json(desk: Errands[Database], server: Server) -> None:
    desk.tell(server.url("found"), {"call": "c1", "name": "王小姐"})
    desk.close()
    assert server.posted == [{"call": "c1", "name": "王小姐"}]
    assert (desk.n_webhooks_failed, desk.n_webhooks_dropped) == (0, 0)
    assert desk._database.is_closed


def test_webhooks_that_fail_or_do_not_fit_are_counted(
    desk: Errands[Database], server: Server, monkeypatch: Any
) -> None:
    monkeypatch.setattr(errands, "MAX_WEBHOOKS", 20)
    monkeypatch.setattr(errands, "WEBHOOK_WITHIN_S", 0.3)
    began = time.monotonic()
    for _ in range(30):
        desk.tell(server.url("silent"), {"call": "c1"})
    assert desk.n_webhooks_dropped == 10 and time.monotonic() - began < 0.1
    while desk.n_webhooks_failed < 20 and time.monotonic() < began + PATIENCE_S:
        desk.poll()
        time.sleep(0.01)
    assert desk.n_webhooks_failed == 20
    desk.tell(server.url("found"), {"call": "c2"})
    desk.close()
    assert server.posted[-1] == {"call": "c2"} and desk.n_webhooks_failed == 20


# ---- what is learnt


def test_values_by_dotted_paths() -> None:
    answer = {"customer": {"id": 17, "vip": True, "tags": ["a"], "name": None}, "ok": 1}
    fields = {"id": "customer.id", "vip": "customer.vip", "tags": "customer.tags", "x": "ok.y", "n": "customer.name"}
    assert values_of(answer, fields) == {"id": "17", "vip": "true"}


def test_a_long_value_is_cut() -> None:
    assert len(values_of({"name": "x" * 5000}, {})["name"]) == errands.MAX_VALUE_CHARS
