"""The law of the recording: over an hour both channels stay together, through silence, loss and hold."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
N_TICKS = 180_000


def test_an_hour_of_loss_and_hold_keeps_the_channels_together(tmp_path):
    pjsip = json.loads((Path(sys.prefix) / "agner-pjsip.json").read_text())
    program = tmp_path / "tap_hour"
    command = ["gcc", "-O1", "-g", "-Wall", "-Wextra", "-fsanitize=undefined", "-fno-sanitize-recover=undefined"]
    command += [f"-I{ROOT}/engine/media", "-isystem", pjsip["include_dir"], *pjsip["compile_args"]]
    command += [
        str(ROOT / "tests/media/tap_hour.c"),
        *map(str, sorted((ROOT / "engine/media").glob("*.c"))),
        "-o",
        str(program),
    ]
    command += [f"-L{pjsip['library_dir']}", f"-Wl,-rpath,{pjsip['library_dir']}"]
    command += [f"-l{library}" for library in (*pjsip["libraries"], "m")]
    subprocess.run(command, check=True)
    done = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
    worst, n_written, n_compared, n_paused, n_without, n_lost, n_missed, is_done, n_taps, n_pools = map(int, done)
    assert worst == 0  # in frames of 20 ms
    assert n_written == N_TICKS  # not one too many or too few
    assert n_paused == n_without > 100
    assert n_lost == n_missed > 100
    assert n_compared > N_TICKS / 3
    assert (is_done, n_taps, n_pools) == (1, 0, 0)
