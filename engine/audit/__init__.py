"""Every assignment of a trace, checked against the rules without the core: an auditor who reads what the ACD was asked
and what it did, and looks at everybody after every line.

Checked are, of 100 % of the lines:
  order            an agent is given to a call only if no waiting call that stands before it could have had that agent;
                   place = arrival - head start, strict priority first, ties by the order of coming
  right            the agent was free, serves the queue from that wait on (a reserve only while the queue is in need),
                   has the skills and is of the groups, has not declined this call while somebody else was untried;
                   the preferred agent first, and alone while the call is held for that one; nobody free of an earlier
                   turn or a lower rank was passed over
  ring several     as many phones ring as the queue says, or all who are free; one takes the call, the others are let go
  work conserving  after a line nobody is free who may take a waiting call
  one each         an agent has one offer or one talk, a call one talk; offers end with their call
  clear phones     after an offer that was given up an agent is not free until the phone is cleared, or 2 s have passed,
                   and held no longer
  time             no call waits beyond its longest wait, its hold or the time of its next turn or relaxation
  reserves         they serve while, and only while, the queue's wait or service level asks for them
  counts           every call ends once; offered = answered + abandoned + ... + waiting, by the daemon's counters too

Agents' states are those the trace tells; everything else is worked out here. Plain dictionaries and scans on purpose.
"""

from engine.audit.auditor import Audit, audit, runs

__all__ = ["Audit", "audit", "runs"]
