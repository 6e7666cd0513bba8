"""Runs one endpoint and prints one line about it; test_pjsip.py starts it, because PJLIB starts only once a process."""

import ctypes
import os
import resource
import socket
import sys
import time
from collections.abc import Callable

import pjsua2 as pj

SENT = {
    "options": """\
OPTIONS sip:1@127.0.0.1:{port} SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK-setup-1
From: <sip:2@127.0.0.1>;tag=a
To: <sip:1@127.0.0.1>
Call-ID: setup-1@127.0.0.1
CSeq: 1 OPTIONS
Content-Length: 0

""",
    "invite": """\
INVITE sip:1@127.0.0.1:{port} SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK-setup-2
From: <sip:2@127.0.0.1>;tag=a
To: <sip:1@127.0.0.1>
Call-ID: setup-2@127.0.0.1
CSeq: 1 INVITE
Contact: <sip:2@127.0.0.1:{own}>
Max-Forwards: 70
Content-Type: application/sdp

v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
m=audio 40000 RTP/AVP 0
c=IN IP4 127.0.0.1
a=rtpmap:0 PCMU/8000
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
""",
}


class Account(pj.Account):
    """Answers whatever calls it."""

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:
        self.call = pj.Call(self, prm.callId)
        answer = pj.CallOpParam()
        answer.statusCode = 200
        self.call.answer(answer)


def start(n_calls: int = 4) -> pj.Endpoint:
    endpoint, config = pj.Endpoint(), pj.EpConfig()
    config.uaConfig.threadCnt, config.uaConfig.mainThreadOnly = 0, True
    config.uaConfig.maxCalls = n_calls
    config.logConfig.level = config.logConfig.consoleLevel = 1
    endpoint.libCreate()
    endpoint.libInit(config)
    return endpoint


def codecs() -> str:
    return " ".join(codec.codecId for codec in start().codecEnum2())


def calls_granted(library: str, asked: str) -> str:
    endpoint = start(int(asked))
    n_granted = ctypes.CDLL(library).pjsua_call_get_max_count()
    del endpoint
    return str(n_granted)


def libraries_in_use() -> str:
    endpoint = start()
    import engine.media.ports  # noqa: F401

    with open("/proc/self/maps") as maps:
        found = {line.split()[-1] for line in maps if "libpjsua.so" in line}
    del endpoint
    return " ".join(sorted(found))


def first_final_answer(message: str, n_held: str) -> str:
    """Status of the final answer to a message, with `n_held` descriptors in use before any of PJSIP's."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    held = [os.dup(0) for _ in range(int(n_held))]
    endpoint = start()
    endpoint.audDevManager().setNullDev()
    transport = pj.TransportConfig()
    transport.boundAddress = "127.0.0.1"
    info = endpoint.transportGetInfo(endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport))
    config = pj.AccountConfig()
    config.idUri = "sip:1@127.0.0.1"
    endpoint.libStart()
    account = Account()
    account.create(config)

    port = int(info.localName.rsplit(":", 1)[1])
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.bind(("127.0.0.1", 0))
    client.setblocking(False)
    text = SENT[message].format(port=port, own=client.getsockname()[1])
    client.sendto(text.replace("\n", "\r\n").encode(), ("127.0.0.1", port))
    until = time.monotonic() + 5
    while time.monotonic() < until:
        endpoint.libHandleEvents(10)
        try:
            status = client.recv(4000).split()[1].decode()
        except BlockingIOError:
            continue
        if status >= "200":
            return f"{status} above {len(held)} descriptors"
    return "no final answer"


if __name__ == "__main__":
    probes: dict[str, Callable[..., str]] = {
        "codecs": codecs,
        "calls": calls_granted,
        "libraries": libraries_in_use,
        "answer": first_final_answer,
    }
    print("probe:", probes[sys.argv[1]](*sys.argv[2:]), flush=True)
    os._exit(0)  # whatever is still up is not taken down in order: that is not what is asked here
