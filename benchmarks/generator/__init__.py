"""A load of SIP calls with real RTP both ways, light enough to run beside what it measures.

    sip.py sdp.py        messages and transactions
    phones.py            callers on a trunk, agents' phones, and what each of them noticed
    source.pyx           face of rtp_source.c: the RTP of all of them from one native thread
    stamp.c sequence.h   what a frame carries, and what it tells when it comes back

Nothing here knows Agner: any SIP switch that answers a number and rings phones can be measured.
"""
