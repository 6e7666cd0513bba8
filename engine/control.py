"""The door for the command line: a local socket that only the daemon's user may open. Requests in, snapshots out.

One JSON object a line each way: `{"do": VERB, ...}` is answered by `{"ok": true, "data": ...}` or `{"ok": false,
"error": TEXT}`. The socket has its own thread; requests are carried out on the engine's thread, between two rounds of
its loop, so that an answer is one consistent moment. What the verbs mean is in board.py; both
ends of the line are here.
"""

import json
import os
import socket
import socketserver
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any

Answer = Callable[[dict[str, Any]], Any]

ANSWER_WITHIN_S = 5.0
LATER_WITHIN_S = 60.0  # what the engine has others do, such as reading a configuration
MAX_REQUEST_BYTES = 65536


class ControlError(Exception):
    """The daemon refused or could not be asked. The text is for the operator."""


class NoDaemon(ControlError):
    """Nobody listens at the socket."""


class ControlServer:
    """Listens until close(). The engine calls serve() once a round; it costs one queue look-up when nobody asks."""

    def __init__(self, path: Path) -> None:
        self._requests: SimpleQueue[tuple[dict[str, Any], Future[Any]]] = SimpleQueue()
        self._path = path
        if path.exists():
            if _somebody_listens(path):
                raise ControlError(f"{path}: another daemon is running here")
            path.unlink()
        mask = os.umask(0o177)
        try:
            self._server = _Server(str(path), _Handler)
        finally:
            os.umask(mask)
        self._server.requests = self._requests
        self._is_open = True
        self._listener = threading.Thread(target=self._listen, name="control", daemon=True)
        self._listener.start()

    def serve(self, answer: Answer) -> None:
        """Answer what was asked since the last round. `answer` raises ControlError to refuse; a Future from it is an
        answer that comes later."""
        while not self._requests.empty():
            request, future = self._requests.get_nowait()
            try:
                future.set_result(answer(request))
            except ControlError as error:
                future.set_exception(error)
            except Exception as error:  # a bug in one answer must reach the operator, not stop the engine
                future.set_exception(ControlError(f"{type(error).__name__}: {error}"))

    def close(self) -> None:
        self._is_open = False
        self._server.socket.shutdown(socket.SHUT_RDWR)  # which wakes the listener
        self._listener.join()
        self._server.server_close()
        self._path.unlink(missing_ok=True)

    def _listen(self) -> None:
        while self._is_open:  # serve_forever() would look twice a second whether it is to end
            self._server.handle_request()


def ask(path: Path, verb: str, **arguments: Any) -> Any:
    """Ask the daemon behind `path`. Raises NoDaemon if there is none, ControlError if it refuses or is too slow."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(LATER_WITHIN_S + ANSWER_WITHIN_S + 1)  # an engine that is stuck is told of by the thread there
        try:
            line.connect(str(path))
            line.sendall(json.dumps({"do": verb, **arguments}).encode() + b"\n")
            with line.makefile("rb") as reader:
                text = reader.readline()
        except (FileNotFoundError, ConnectionRefusedError):
            raise NoDaemon(f"no daemon at {path}; start one with `agner run`") from None
        except PermissionError:
            raise ControlError(f"{path}: only the daemon's user may open it") from None
        except OSError as error:
            raise ControlError(f"{path}: {error}") from None
    if not text:
        raise ControlError(f"{path}: the daemon closed the line")
    reply = json.loads(text)
    if not reply["ok"]:
        raise ControlError(reply["error"])
    return reply["data"]


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    requests: SimpleQueue[tuple[dict[str, Any], Future[Any]]]


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        while line := self.rfile.readline(MAX_REQUEST_BYTES):
            self.wfile.write(json.dumps(self._reply(line), ensure_ascii=False).encode() + b"\n")

    def _reply(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict) or not isinstance(request.get("do"), str):
                raise ControlError('a request is a JSON object with "do"')
            future: Future[Any] = Future()
            self.server.requests.put((request, future))
            data = future.result(ANSWER_WITHIN_S)
            return {"ok": True, "data": data.result(LATER_WITHIN_S) if isinstance(data, Future) else data}
        except json.JSONDecodeError as error:
            return {"ok": False, "error": f"not JSON: {error}"}
        except ControlError as error:
            return {"ok": False, "error": str(error)}
        except TimeoutError:
            return {"ok": False, "error": f"the engine did not answer within {ANSWER_WITHIN_S:g} s"}


def _somebody_listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        try:
            line.connect(str(path))
        except OSError:
            return False
    return True
