"""RTP for thousands of streams from one native thread: open a stream, close it, collect what it heard."""

from benchmarks.generator.counts import StreamResult, Totals

BUCKET_S: float  # width of a latency bucket

class RtpSource:
    """Up to `max_streams` at once. Sockets are added before start(). Raises OSError with the port or stream named."""

    def __init__(self, max_streams: int = 8192) -> None: ...
    def add_socket(self, ip: str, port: int, side: int) -> int:
        """Bind `port` and the RTCP port above it; `side` 0 callers, 1 agents. Returns the socket's index."""

    def start(self) -> None: ...
    def stop(self) -> None:
        """For good: the ports are free again, the counts stay."""
    def open(self, id: int, socket: int, ip: str, port: int, law: int, remote_ssrc: int = 0) -> int:
        """Talk to ip:port from now on, as SSRC `id`, in payload type `law` (8 PCMA, 0 PCMU). Returns a slot.

        `remote_ssrc`: what the far end sends as, needed only where it shares its port between streams.
        """

    def close(self, slot: int) -> None: ...
    def press(self, slot: int, key: str, payload: int) -> None:
        """A key for 100 ms, as RFC 4733 events of that payload type, in place of audio. The slot must be open.

        ValueError if it is none of 0-9, *, #, A-D.
        """
    def collect(self) -> list[StreamResult]:
        """The streams closed since the last call, in any order. A closed stream needs about 1 ms to appear."""

    def totals(self) -> Totals: ...
    def latencies(self, side: int) -> list[int]:
        """How many stamped packets the side heard in each bucket of BUCKET_S; the last holds all above."""

    def thread_id(self) -> int: ...
