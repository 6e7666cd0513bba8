"""The engine of Agner: SIP in, decisions, SIP out. Start reading at switch.py; docs/architecture.md has the map."""

import os

# numpy holds samples and tables here and no linear algebra, whose threads would cost a tenth of the start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
