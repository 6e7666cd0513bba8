"""SIPp scenarios of the demo: callers with recorded speech, and a phone that rejects. Plain RFC 3261, G.711 A-law.

SPEECH stands for the path of a raw A-law file, STAY_MS for a time: SIPp takes no keywords there.
"""

_INVITE = """
  <send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:[ani]@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:[ani]@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=sipp 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [auto_media_port] RTP/AVP 8
a=rtpmap:8 PCMA/8000
]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>"""

_ACK = """
  <send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:[ani]@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>"""

_ACK_REFUSAL = """
  <send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
[last_Via:]
From: <sip:[ani]@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>"""

_BYE = """
  <send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:[ani]@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
  <recv response="200"/>"""

_OK = """
  <send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>"""

_SPEECH = """
  <nop><action><exec rtp_stream="SPEECH,-1,8"/></action></nop>"""


def _scenario(name: str, *parts: str) -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{name}">{"".join(parts)}\n</scenario>\n"""


CALLER_STAYS = _scenario(
    "caller who stays until the other side hangs up",
    _INVITE,
    '\n  <recv response="200" rrs="true"/>',
    _ACK,
    _SPEECH,
    '\n  <recv request="BYE"/>',
    _OK,
)

CALLER_LEAVES = _scenario(
    "caller who hangs up after a while",
    _INVITE,
    '\n  <recv response="200" rrs="true"/>',
    _ACK,
    _SPEECH,
    '\n  <pause milliseconds="STAY_MS"/>',
    _BYE,
)

CALLER_UNKNOWN = _scenario("caller of an unknown number", _INVITE, '\n  <recv response="404"/>', _ACK_REFUSAL)

PHONE_REJECTS = _scenario(
    "phone that rejects every call",
    '\n  <recv request="INVITE"/>',
    """
  <send retrans="500"><![CDATA[
SIP/2.0 603 Decline
[last_Via:]
[last_From:]
[last_To:];tag=[call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
  <recv request="ACK"/>""",
)
