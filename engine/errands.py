"""What a call asks of the world outside and may wait for: customer look-ups in the database and on web servers,
webhooks. Nothing here can hold a call or the engine: each errand has its deadline, in the call's machine too, and what
does not fit the bounded queues has failed at once.

Two threads. `questions` reads the database, one question after the other. `errands` runs an event loop for HTTP, where
cancelling at the deadline ends whatever a server does: silence, drops of bytes, a body without end. Names are resolved
in a thread for each, at most one for one name, since a stalled resolver cannot be cancelled. Answers wait until poll()
hands them out on the engine's thread.
"""

import asyncio
import json
import logging
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from queue import Full, Queue, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

import httpcore

from engine.callflow.record import Customer
from engine.callflow.settings import WebLookUp

log = logging.getLogger("agner.errands")

MAX_QUESTIONS = 256  # waiting for the database
MAX_REQUESTS = 64  # at once for each web server that knows customers
MAX_WEBHOOKS = 1000  # waiting and being sent
WEBHOOKS_AT_ONCE = 8
WEBHOOK_WITHIN_S = 10.0  # from the plan's step to the server's answer
MAX_BODY_BYTES = 65536
MAX_VALUE_CHARS = 256
CLOSE_S = 2.0  # for webhooks under way when the daemon stops

_WEBHOOKS = ""  # among the sources, whose names are never empty

Values = Mapping[str, str]
Take = Callable[[str, Values], None]  # result of the step, what was found
Addresses = list[str] | OSError
T = TypeVar("T")


class Database(Protocol):
    """Used by the thread `questions` alone; raises when the database does not answer."""

    def customer(self, number: str) -> Customer | None: ...
    def close(self) -> None: ...


D = TypeVar("D", bound=Database)


class Errands(Generic[D]):
    """Engine's thread only. `look_ups` may be replaced at any time."""

    def __init__(self, look_ups: Mapping[str, WebLookUp], database: D) -> None:
        self.look_ups = look_ups
        self.n_webhooks_dropped = self.n_webhooks_failed = 0
        self._database = database
        self._done: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._questions: Queue[tuple[Callable[[D], Any], Callable[[Any], None], float] | None] = Queue(MAX_QUESTIONS)
        self._under_way: Counter[str] = Counter()  # requests by source
        self._loop = asyncio.new_event_loop()
        self._web = _Web()
        self._threads = [
            threading.Thread(target=self._answer_questions, name="questions", daemon=True),
            threading.Thread(target=self._run_loop, name="errands", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # ---- the engine's side: never blocks

    def look_up(self, source: str, number: str, within_s: float, take: Take) -> None:
        """`take` gets `found` with name, level ..., `unknown` or `failed`; perhaps after the deadline."""
        if source == "customers":
            self.ask(lambda database: database.customer(number), lambda found: take(*_of_customer(found)), within_s)
            return
        server = self.look_ups.get(source)
        if server is None or self._under_way[source] >= MAX_REQUESTS:
            self._done.put(lambda: take("failed", {}))
            return
        request = self._web.look_up(server, number, min(within_s, server.within_s))
        self._start(source, request, lambda answer: take(*(answer or ("failed", {}))))

    def ask(self, question: Callable[[D], T], take: Callable[[T | Exception], None], within_s: float = 5.0) -> None:
        """Put a question to the database. `take` gets the answer, or the error; TimeoutError if nobody got to it."""
        try:
            self._questions.put_nowait((question, take, time.monotonic() + within_s))
        except Full:
            self._done.put(lambda: take(TimeoutError("too many questions wait for the database")))

    def tell(self, url: str, values: Values) -> None:
        """POST these values as a JSON object. Nobody waits for it; what fails or does not fit is counted."""
        if self._under_way[_WEBHOOKS] >= MAX_WEBHOOKS:
            self.n_webhooks_dropped += 1
            return
        self._start(_WEBHOOKS, self._web.post(url, dict(values)), self._count_webhook)

    def poll(self) -> None:
        """Hand out what came back. Costs one look-up when nothing did."""
        while not self._done.empty():
            self._done.get_nowait()()

    def close(self) -> None:
        """Webhooks under way have a moment; everything else is dropped. Twice is once."""
        if self._loop.is_closed():
            return
        until = time.monotonic() + CLOSE_S
        while self._under_way[_WEBHOOKS] and time.monotonic() < until:
            time.sleep(0.01)
            self.poll()
        with suppress(Full):  # then the database hangs, and its thread ends with the process
            self._questions.put_nowait(None)
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            thread.join(CLOSE_S)

    def _start(self, source: str, request: Coroutine[Any, Any, T], take: Callable[[T | None], None]) -> None:
        self._under_way[source] += 1

        def finish(answer: T | None) -> None:
            self._under_way[source] -= 1
            take(answer)

        def done(future: Any) -> None:
            answer = None if future.cancelled() or future.exception() else future.result()
            self._done.put(lambda: finish(answer))

        asyncio.run_coroutine_threadsafe(request, self._loop).add_done_callback(done)

    def _count_webhook(self, is_sent: bool | None) -> None:
        self.n_webhooks_failed += not is_sent

    # ---- the threads

    def _answer_questions(self) -> None:
        while item := self._questions.get():
            question, take, until = item
            answer: Any
            try:
                answer = question(self._database) if time.monotonic() < until else TimeoutError("the database is slow")
            except Exception as error:  # whatever the database says, the next question is put to it
                log.warning("database: %s", error)
                answer = error
            self._done.put(lambda take=take, answer=answer: take(answer))  # type: ignore[misc]
        self._database.close()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(self._web.close())
        self._loop.close()


def _of_customer(found: Customer | None | Exception) -> tuple[str, Values]:
    if found is None:
        return "unknown", {}
    if isinstance(found, Exception):
        return "failed", {}
    return "found", found.values()


# ---- the web, inside the event loop


class _Web:
    """One pool of connections for each server, so that one that hangs takes none from the others."""

    def __init__(self) -> None:
        self._pools: dict[str, httpcore.AsyncConnectionPool] = {}
        self._resolver = _Resolver()
        self._sending = asyncio.Semaphore(WEBHOOKS_AT_ONCE)
        self._tls: ssl.SSLContext | None = None

    def _pool(self, name: str) -> httpcore.AsyncConnectionPool:
        if name not in self._pools:
            self._tls = self._tls or ssl.create_default_context()
            self._pools[name] = httpcore.AsyncConnectionPool(
                self._tls, max_connections=MAX_REQUESTS, keepalive_expiry=30.0, network_backend=self._resolver
            )
        return self._pools[name]

    async def look_up(self, server: WebLookUp, number: str, within_s: float) -> tuple[str, Values]:
        url = server.url.replace("{number}", quote(number, safe=""))
        try:
            async with asyncio.timeout(within_s):
                status, body = await self._request(server.name, "GET", url, None)
            if status == 404:
                return "unknown", {}
            if status != 200:
                raise ValueError(f"status {status}")
            return "found", values_of(json.loads(body), server.fields)
        except _FAILURES as error:
            log.warning("look up %s: %s", server.name, _text(error))
            return "failed", {}

    async def post(self, url: str, values: Values) -> bool:
        try:
            async with asyncio.timeout(WEBHOOK_WITHIN_S), self._sending:
                status, _ = await self._request(_WEBHOOKS, "POST", url, json.dumps(values, ensure_ascii=False).encode())
            if not 200 <= status < 300:
                raise ValueError(f"status {status}")
            return True
        except _FAILURES as error:
            log.warning("webhook %s: %s", url, _text(error))
            return False

    async def _request(self, source: str, method: str, url: str, content: bytes | None) -> tuple[int, bytes]:
        """Redirects are not followed: where customers' numbers are sent is what the configuration says."""
        headers: dict[bytes | str, bytes | str] = {"Accept": "application/json", "User-Agent": "agner"}
        if content is not None:
            headers["Content-Type"] = "application/json; charset=utf-8"
        async with self._pool(source).stream(method, url, headers=headers, content=content) as response:
            body = b""
            async for part in response.aiter_stream():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    raise ValueError(f"answer longer than {MAX_BODY_BYTES} bytes")
            return response.status, body

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


_FAILURES = (
    *(httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, httpcore.UnsupportedProtocol),
    *(OSError, TimeoutError, ValueError, RecursionError),
)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}{f': {error}' if str(error) else ''}"


def values_of(answer: Any, fields: Mapping[str, str]) -> Values:
    """What a call learns of an answer: the fields asked for, by their dotted paths, or without any each of the
    object's own texts and numbers. Raises ValueError for what is no JSON object."""
    if not isinstance(answer, dict):
        raise ValueError("the answer is no JSON object")
    found = {name: _at(answer, path.split(".")) for name, path in fields.items()} if fields else answer
    texts = {str(name): _as_text(value) for name, value in found.items()}
    return {name: text[:MAX_VALUE_CHARS] for name, text in texts.items() if text}


def _at(value: Any, path: Iterable[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else ""


class _Resolver(httpcore.AsyncNetworkBackend):
    """Names into addresses beside the event loop: a resolver that stalls keeps one thread for each name, which ends
    with the process."""

    def __init__(self) -> None:
        self._network = httpcore.AnyIOBackend()
        self._asked: dict[tuple[str, int], asyncio.Future[Addresses]] = {}

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        error: Exception = OSError(f"{host} has no address")
        for address in await self._addresses(host, port):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as refused:
                error = refused
        raise error

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.UnsupportedProtocol("local sockets")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[str]:
        if _is_address(host):
            return [host]
        key = (host, port)
        if key not in self._asked:
            loop = asyncio.get_running_loop()
            future = self._asked[key] = loop.create_future()
            future.add_done_callback(lambda _: self._asked.pop(key))
            threading.Thread(target=_resolve, args=(host, port, loop, future), name="resolver", daemon=True).start()
        answer = await asyncio.shield(self._asked[key])
        if isinstance(answer, OSError):
            raise answer
        return answer


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _resolve(host: str, port: int, loop: asyncio.AbstractEventLoop, future: "asyncio.Future[Addresses]") -> None:
    answer: Addresses
    try:
        answer = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        answer = error if isinstance(error, OSError) else OSError(str(error))
    if not loop.is_closed():
        loop.call_soon_threadsafe(_set, future, answer)


def _set(future: "asyncio.Future[Addresses]", answer: Addresses) -> None:
    if not future.done():
        future.set_result(answer)
