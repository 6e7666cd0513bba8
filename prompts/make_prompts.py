"""Speak every prompt of the manifest, and every part that values are spoken from, with espeak-ng, and level it;
`make prompts` calls this. Counterparts: engine/media/sounds.py plays the files; engine/callflow/say.py has the parts.

Same words, same file: what sounds the same is not written again, since espeak-ng rounds a sample otherwise now and
then. A file whose software tag is not ours is somebody's recording and is left alone.
"""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
import yaml

from engine.callflow import say

HERE = Path(__file__).resolve().parent
RATE = 16000
# espeak-ng voice, words per minute. Of its two voices of Mandarin, cmn reads the pinyin of its own dictionary as
# English (espeak-ng issue 1236: "hao two").
VOICES = {"zh": ("cmn-latn-pinyin+f2", 165), "en": ("en-us+f2", 155)}
# Words that espeak-ng reads wrongly -> what it is given instead: for Chinese pinyin with the number of the tone.
READINGS = {
    "zh": {"重复": "chong2fu4", "重新": "chong2xin1", "重听": "chong2ting1"},
    "en": {"a m": "ay em", "p m": "pee em"},
}
LEVEL_DBFS = -23.0  # active speech level; what a G.711 trunk carries with room for the peaks
LEVEL_WINDOW_DB = 1.0
PEAK_DBFS = -3.0
MARK = "agner make_prompts"  # in the software tag of each file made here
MARGIN_S = 0.06  # quiet kept before the first and after the last word of a prompt
PART_MARGIN_S = 0.02  # the same for a part, so that parts in a row sound like one sentence
FADE_S = 0.005
ROUNDING = 0.002  # samples that differ by no more are the same


class Line(NamedTuple):
    """A file to be made."""

    path: Path
    language: str
    words: str
    margin_s: float


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


def reading(words: str, language: str) -> str:
    """What espeak-ng is given for the words. A short word is replaced only where it stands alone."""
    for word, instead in READINGS[language].items():
        words = words.replace(word, instead) if language == "zh" else instead if words == word else words
    return words


def speak(words: str, language: str, margin_s: float = MARGIN_S) -> np.ndarray:
    """The words as samples at RATE, -1..1, with `margin_s` of quiet around them."""
    voice, speed = VOICES[language]
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "--stdout", "--", reading(words, language)]
    try:
        spoken = subprocess.run(command, check=True, capture_output=True).stdout
    except FileNotFoundError:
        sys.exit("make_prompts: espeak-ng is not installed (apt-get install espeak-ng)")
    # espeak-ng does not know the length when it writes the header of a stream, so the data is cut out by hand.
    rate = int.from_bytes(spoken[24:28], "little")
    samples = np.frombuffer(spoken[44 : len(spoken) // 2 * 2], dtype="<i2") / 32768
    return trim(soxr.resample(samples, rate, RATE), margin_s)


def trim(samples: np.ndarray, margin_s: float) -> np.ndarray:
    """From the first to the last sound, with `margin_s` around it whatever was there."""
    loud = np.flatnonzero(np.abs(samples) > np.abs(samples).max() * 0.02)
    margin = int(margin_s * RATE)
    padded = np.pad(samples, margin)
    return padded[loud[0] : loud[-1] + 2 * margin]


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


def is_there(path: Path, samples: np.ndarray) -> bool:
    """Does the file hold these samples, but for rounding?"""
    if not path.exists():
        return False
    held, rate = soundfile.read(path)
    return rate == RATE and len(held) == len(samples) and bool(np.all(np.abs(held - samples) < ROUNDING))


def write(path: Path, samples: np.ndarray) -> None:
    whole = io.BytesIO()
    with soundfile.SoundFile(whole, "w", RATE, 1, "PCM_16", format="WAV") as file:
        file.software = MARK
        file.write(samples)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(whole.getvalue())


def lines(folder: Path) -> Iterator[Line]:
    """All that the manifest of the folder wants spoken."""
    manifest = yaml.load((folder / "manifest.yaml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    for name, prompt in manifest["prompts"].items():
        for language in VOICES:
            yield Line(folder / language / prompt.get("file", f"{name}.wav"), language, prompt[language], MARGIN_S)
    for language, parts in manifest["say"].items():
        for part in sorted(say.recorded(language)):
            words = say.GRAMMARS[language].WORDS[part]
            yield Line(folder / parts / f"{part}.wav", language, words, PART_MARGIN_S)


def main() -> None:
    for path, language, words, margin_s in lines(HERE):
        if path.suffix != ".wav" or not is_ours(path):
            print(f"{path.relative_to(HERE)}: a recording, left alone")
            continue
        samples = level(speak(words, language, margin_s))
        if is_there(path, samples):
            continue
        write(path, samples)
        print(f"{path.relative_to(HERE)}: {len(samples) / RATE:.1f} s, {active_level_dbfs(samples, RATE):.1f} dBFS")


if __name__ == "__main__":
    main()
