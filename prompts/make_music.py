"""Compose and render what is played to those who wait, and the tones; `make prompts` calls this. Nobody else's music is
in it.

The loop is rendered on a circle: what rings on after the last bar is added to the first, so the seam cannot be heard.
All of it lies between 150 Hz and 3 kHz, where a telephone carries it.
"""

from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).resolve().parent
RATE = 16000
BEAT_S = 0.9
HOLD_DBFS = -29.0  # RMS; 6 dB under the prompts' speech
RINGBACK_DBFS = -20.0
BEEP_HZ, BEEP_S, BEEP_DBFS = 1000, 0.4, -23.0  # as loud as the prompts

# One bar of four beats each: the notes of the chord as MIDI numbers, low to high, and the bells as (beat, note).
BARS = [
    ((57, 60, 64, 67), ((0, 76), (2.5, 79))),  # Am7
    ((53, 57, 60, 64), ((0, 81), (3, 79))),  # Fmaj7
    ((55, 60, 64, 67), ((0.5, 76), (2, 74))),  # C/G
    ((55, 59, 62, 67), ((0, 74), (2.5, 71))),  # G
    ((57, 60, 64, 69), ((0, 72), (1.5, 76))),  # Am
    ((53, 57, 60, 65), ((0.5, 77), (2, 76), (3, 72))),  # F
    ((50, 57, 60, 65), ((0, 74), (2.5, 77))),  # Dm7
    ((55, 59, 65, 67), ((0, 79), (2, 74))),  # G7
]


def frequency(note: float) -> float:
    return 440.0 * 2 ** ((note - 69) / 12)


def tone(note: float, length_s: float, partials: tuple[float, ...], attack_s: float, decay_s: float) -> np.ndarray:
    """A struck or blown note: `partials` are the strengths of the harmonics, `decay_s` the time to fall to 1/e."""
    t = np.arange(int(length_s * RATE)) / RATE
    wave = sum(
        strength * np.sin(2 * np.pi * frequency(note) * n * t)
        for n, strength in enumerate(partials, start=1)
        if frequency(note) * n < 3000
    )
    release = np.clip((length_s - t) / 0.3, 0, 1)
    return wave * np.clip(t / attack_s, 0, 1) * np.exp(-t / decay_s) * release


def add(loop: np.ndarray, at_s: float, sound: np.ndarray) -> None:
    np.add.at(loop, (int(at_s * RATE) + np.arange(len(sound))) % len(loop), sound)


def hold() -> np.ndarray:
    """A slow progression: a soft pad, a plucked figure over it, a bell now and then."""
    bar_s = 4 * BEAT_S
    loop = np.zeros(int(round(len(BARS) * bar_s * RATE)))
    for n_bar, (chord, bells) in enumerate(BARS):
        start_s = n_bar * bar_s
        for note in chord:
            add(loop, start_s, 0.10 * tone(note, bar_s + 1.0, (1, 0.4, 0.15), 0.8, 6.0))
        for step in range(8):
            note = chord[(0, 2, 1, 3, 2, 1, 3, 2)[step]] + 12
            add(loop, start_s + step * BEAT_S / 2, 0.16 * tone(note, 2.0, (1, 0.35, 0.2, 0.08), 0.008, 0.5))
        for beat, note in bells:
            add(loop, start_s + beat * BEAT_S, 0.14 * tone(note, 3.0, (1, 0.1, 0.12), 0.01, 0.9))
    return at_level(loop, HOLD_DBFS)


def ringback() -> np.ndarray:
    """450 Hz, 1 s on, 4 s off: what a caller hears in China while the other end rings."""
    t = np.arange(5 * RATE) / RATE
    on = np.clip(np.minimum(t, 1 - t) / 0.01, 0, 1)
    return on * np.sin(2 * np.pi * 450 * t) * np.sqrt(2) * 10 ** (RINGBACK_DBFS / 20)


def beep() -> np.ndarray:
    t = np.arange(int(BEEP_S * RATE)) / RATE
    edge = np.clip(np.minimum(t, BEEP_S - t) / 0.01, 0, 1)
    return edge * np.sin(2 * np.pi * BEEP_HZ * t) * np.sqrt(2) * 10 ** (BEEP_DBFS / 20)


def at_level(samples: np.ndarray, dbfs: float) -> np.ndarray:
    return samples * 10 ** (dbfs / 20) / np.sqrt(np.mean(samples**2))


def main() -> None:
    for name, samples in (("music/hold", hold()), ("music/ringback", ringback()), ("tones/beep", beep())):
        path = HERE / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, samples, RATE, "PCM_16")
        print(f"{name}.wav: {len(samples) / RATE:.1f} s")


if __name__ == "__main__":
    main()
