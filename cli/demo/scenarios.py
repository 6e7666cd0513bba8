"""The SIPp scenario of the demo: a phone that rejects. Plain RFC 3261."""

PHONE_REJECTS = """<?xml version="1.0" encoding="UTF-8"?>
<scenario name="phone that rejects every call">
  <recv request="INVITE"/>
  <send retrans="500"><![CDATA[
SIP/2.0 603 Decline
[last_Via:]
[last_From:]
[last_To:];tag=[call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
  <recv request="ACK"/>
</scenario>
"""
