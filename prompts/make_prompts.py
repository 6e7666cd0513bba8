"""Speak every prompt of the manifest with espeak-ng and level it; `make prompts` calls this. Counterpart:
engine/media/sounds.py plays the files.

Same words, same file: espeak-ng has no random part and nothing here depends on time. A file whose name is not NAME.wav,
or whose software tag is not ours, is somebody's recording and is left alone.
"""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr
import yaml

HERE = Path(__file__).resolve().parent
RATE = 16000
VOICES = {"zh": ("cmn+f2", 165), "en": ("en-us+f2", 155)}  # espeak-ng voice, words per minute
LEVEL_DBFS = -23.0  # active speech level; what a G.711 trunk carries with room for the peaks
LEVEL_WINDOW_DB = 1.0
PEAK_DBFS = -3.0
MARK = "agner make_prompts"  # in the software tag of each file made here
MARGIN_S = 0.06  # quiet kept before the first and after the last word
FADE_S = 0.005


def active_level_dbfs(samples: np.ndarray, rate: int) -> float:
    """RMS over the 20 ms frames in which somebody speaks: those within 30 dB of the loudest frame. Samples are
    -1..1."""
    frame = rate // 50
    n_frames = len(samples) // frame
    if n_frames == 0:
        return -np.inf
    power = np.mean(samples[: n_frames * frame].reshape(n_frames, frame) ** 2, axis=1)
    active = power[power > power.max() * 1e-3]
    return float(10 * np.log10(active.mean())) if len(active) else -np.inf


def speak(words: str, language: str) -> np.ndarray:
    """The words as samples at RATE, -1..1, without a margin of silence."""
    voice, speed = VOICES[language]
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "--stdout", "--", words]
    try:
        spoken = subprocess.run(command, check=True, capture_output=True).stdout
    except FileNotFoundError:
        sys.exit("make_prompts: espeak-ng is not installed (apt-get install espeak-ng)")
    # espeak-ng does not know the length when it writes the header of a stream, so the data is cut out by hand.
    rate = int.from_bytes(spoken[24:28], "little")
    samples = np.frombuffer(spoken[44 : len(spoken) // 2 * 2], dtype="<i2") / 32768
    return trim(soxr.resample(samples, rate, RATE))


def trim(samples: np.ndarray) -> np.ndarray:
    loud = np.flatnonzero(np.abs(samples) > np.abs(samples).max() * 0.02)
    margin = int(MARGIN_S * RATE)
    return samples[max(loud[0] - margin, 0) : loud[-1] + margin]


def level(samples: np.ndarray) -> np.ndarray:
    """Bring speech to LEVEL_DBFS. Peaks above PEAK_DBFS are bent, not cut; faded at both ends."""
    ceiling = 10 ** (PEAK_DBFS / 20)
    for _ in range(3):  # bending takes a little of the level away again
        samples = samples * 10 ** ((LEVEL_DBFS - active_level_dbfs(samples, RATE)) / 20)
        samples = np.where(
            np.abs(samples) > ceiling / 2,
            np.sign(samples) * (ceiling / 2) * (1 + np.tanh(np.abs(samples) / (ceiling / 2) - 1)),
            samples,
        )
    ramp = np.linspace(0, 1, int(FADE_S * RATE))
    samples[: len(ramp)] *= ramp
    samples[-len(ramp) :] *= ramp[::-1]
    return samples


def is_ours(path: Path) -> bool:
    """Did an earlier run of this script make the file? A missing file may be made."""
    if not path.exists():
        return True
    with soundfile.SoundFile(path) as file:
        return MARK in file.software


def write(path: Path, samples: np.ndarray) -> None:
    whole = io.BytesIO()
    with soundfile.SoundFile(whole, "w", RATE, 1, "PCM_16", format="WAV") as file:
        file.software = MARK
        file.write(samples)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(whole.getvalue())


def main() -> None:
    manifest = yaml.safe_load((HERE / "manifest.yaml").read_text(encoding="utf-8"))
    for name, prompt in manifest["prompts"].items():
        for language in VOICES:
            path = HERE / language / prompt["file"]
            if path.name != f"{name}.wav" or not is_ours(path):
                print(f"{path.relative_to(HERE)}: a recording, left alone")
                continue
            samples = level(speak(prompt[language], language))
            write(path, samples)
            print(f"{path.relative_to(HERE)}: {len(samples) / RATE:.1f} s, {active_level_dbfs(samples, RATE):.1f} dBFS")


if __name__ == "__main__":
    main()
