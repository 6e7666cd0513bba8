"""`make pictures`: docs/demo.svg from a real run of the demo in a terminal of its own. Exit code 1 if the demo failed.

The demo writes to a pseudo terminal. Its live floor is redrawn in place, so the frames are what stands between the
erasures; shown is the one with most callers in the queues. Rich draws the picture; the fonts are the reader's own.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.ansi import AnsiDecoder
from rich.console import Console

COLUMNS, ROWS = 122, 70
ERASURE = re.compile(r"(?:\r|\x1b\[2K|\x1b\[1A)*\x1b\[2K(?:\r|\x1b\[2K|\x1b\[1A)*")
STARTED = re.compile(r"^bootstrap: ready.*\n.*", re.MULTILINE)  # what the set-up did before is not the demo
CURSOR = re.compile(r"\x1b\[\?25[hl]")
FONT_FACE = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)
PICTURE = Path(__file__).with_name("demo.svg")


def run_in_terminal(command: list[str]) -> tuple[str, int]:
    """What the command wrote to a terminal of our size, and its exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    ours_of_make = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")  # with these a make inside a make tells where it is
    environment = {name: value for name, value in os.environ.items() if name not in ours_of_make}
    environment |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    while True:
        try:
            written += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    return written.decode(errors="replace"), process.wait()


def draw(text: str) -> str:
    screen = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    for line in AnsiDecoder().decode(text):
        screen.print(line, no_wrap=True, crop=True)
    return screen.export_svg(title="make demo", code_format=FONT_FACE.sub("", CONSOLE_SVG_FORMAT))


def main() -> int:
    written, code = run_in_terminal(["make", "demo"])
    parts = ERASURE.split(CURSOR.sub("", written).replace("\r\n", "\n"))
    first, *frames, end = [part for part in parts if part.strip()]
    begin = STARTED.search(first)
    assert begin, first
    floor = max(frames, key=lambda frame: (frame.count("queued"), len(frame)))
    PICTURE.write_text(draw(f"$ make demo\n{begin[0]}\n{floor}\n{end}"), encoding="utf-8")
    print(f"{PICTURE}: {PICTURE.stat().st_size} bytes, one of {len(frames)} frames; the demo ended with {code}")
    return code


if __name__ == "__main__":
    sys.exit(main())
