"""Kamailio (Debian: kamailio) as a proxy in front of the switch; kamailio.cfg says what it does."""

import socket
import subprocess
from pathlib import Path
from typing import Self

from cli.demo.phones import stop
from tests.live.floor import until

CONFIG = Path(__file__).with_suffix(".cfg")


class Kamailio:
    """Runs at `here`, in front of `switch`; what the switch sends it for nobody in particular goes to `called` (all
    host:port)."""

    def __init__(self, folder: Path, here: str, switch: str, called: str) -> None:
        folder.mkdir(parents=True)
        self._folder, self.here = folder, here
        text = CONFIG.read_text()
        for name, value in (("HERE", here), ("HOST", here.partition(":")[0]), ("SWITCH", switch), ("CALLED", called)):
            text = "\n".join(line if line.startswith("#") else line.replace(name, value) for line in text.split("\n"))
        (folder / "kamailio.cfg").write_text(text)
        command = ["kamailio", "-f", "kamailio.cfg", "-DD", "-E", "-m", "16", "-M", "4", "-w", ".", "-Y", str(folder)]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until(f"Kamailio listens\n{self.log()}", self._is_up)
        except BaseException:
            self.close()
            raise

    def _is_up(self) -> bool:
        assert self._process.poll() is None, self.log()
        ip, port = self.here.split(":")
        try:
            socket.create_connection((ip, int(port))).close()
        except ConnectionRefusedError:
            return False
        return True

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def n_passed(self, method: str) -> int:
        """Requests of this method that came by, also those that were sent again."""
        return self.log().count(f"PASSED {method} ")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        stop(self._process)
