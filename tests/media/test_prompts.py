"""The prompts as shipped: in both languages, at the right format and level, and used; what a wrong file is told."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from engine.callflow.errors import MediaError
from engine.callflow.settings import SoundFiles
from engine.config.settings import read_sounds
from engine.config.yaml_nodes import Report
from engine.media import sounds
from prompts import make_prompts

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "prompts"
SHIPPED = read_sounds(FOLDER, Report()) or SoundFiles({}, {})
FILES = sorted({path for spoken in SHIPPED.prompts.values() for path in spoken.values()})
LANGUAGES = ("zh", "en")


def test_manifest_and_files_are_one_to_one():
    spoken = {path for language in LANGUAGES for path in (FOLDER / language).iterdir()}
    assert set(FILES) == spoken
    assert set(SHIPPED.music.values()) == set((FOLDER / "music").iterdir())


def test_every_prompt_is_used_by_a_plan():
    def scalars(node):
        if isinstance(node, yaml.ScalarNode):
            yield node.value
        elif isinstance(node, yaml.SequenceNode):
            for child in node.value:
                yield from scalars(child)
        elif isinstance(node, yaml.MappingNode):
            for key, child in node.value:
                yield from scalars(key)
                yield from scalars(child)

    used = {value for path in (ROOT / "config").rglob("*.yaml") for value in scalars(yaml.compose(path.read_text()))}
    assert set(SHIPPED.prompts) <= used


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_prompt_format_level_and_length(path):
    info = soundfile.info(path)
    assert info.channels == 1 and info.samplerate in (8000, 16000, 24000, 32000, 44100, 48000)
    samples, rate = soundfile.read(path)
    assert 1.0 <= len(samples) / rate <= 30.0
    level = make_prompts.active_level_dbfs(samples, rate)
    assert abs(level - make_prompts.LEVEL_DBFS) <= make_prompts.LEVEL_WINDOW_DB
    assert 20 * np.log10(np.max(np.abs(samples))) <= make_prompts.PEAK_DBFS + 0.1
    quiet = np.abs(samples) < 10 ** (-50 / 20)
    loud = np.flatnonzero(~quiet)
    assert loud[0] / rate <= 0.3 and (len(samples) - loud[-1]) / rate <= 0.3, "silence at an end"


@pytest.mark.parametrize("name", SHIPPED.music)
def test_music_loops_without_a_click(name):
    samples, _ = soundfile.read(SHIPPED.music[name])
    seam = abs(samples[0] - samples[-1])
    assert seam <= np.max(np.abs(np.diff(samples)))
    assert np.max(np.abs(samples)) < 0.7


def test_words_are_in_their_language():
    for name, words in yaml.safe_load((FOLDER / "manifest.yaml").read_text())["prompts"].items():
        assert any("\u4e00" <= letter <= "\u9fff" for letter in words["zh"]), name
        assert words["en"].isascii(), name


def test_same_words_make_the_same_sound(tmp_path):
    """espeak-ng rounds a few samples otherwise now and then, by one step of its 16 bits."""
    for _ in range(2):
        make_prompts.write(tmp_path / "new.wav", make_prompts.level(make_prompts.speak("Same words.", "en")))
        (tmp_path / "new.wav").rename(tmp_path / f"{len(list(tmp_path.iterdir()))}.wav")
    first, second = sorted(tmp_path.iterdir())
    (one, rate), (other, _) = soundfile.read(first), soundfile.read(second)
    assert len(one) == len(other) > rate / 4 and np.max(np.abs(one - other)) < 0.002


def test_studio_recordings_are_left_alone(tmp_path):
    soundfile.write(tmp_path / "studio.wav", np.zeros(100), 48000)
    assert not make_prompts.is_ours(tmp_path / "studio.wav")
    assert all(make_prompts.is_ours(path) for path in FILES)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_load_resamples_to_the_bridge(rate):
    loaded = sounds.load(SHIPPED, rate)
    for name, spoken in SHIPPED.prompts.items():
        assert tuple(spoken) == tuple(sorted(LANGUAGES))
        for language, path in spoken.items():
            info = soundfile.info(path)
            assert len(loaded.prompts[language, name]) / rate == pytest.approx(info.duration, abs=0.001)
    assert loaded.rate == rate and set(loaded.music) == set(SHIPPED.music)


def test_studio_formats_are_read(tmp_path):
    stereo = np.random.default_rng(1).uniform(-0.5, 0.5, (44100, 2))
    for name in ("a.flac", "b.ogg", "c.wav", "d.mp3"):
        soundfile.write(tmp_path / name, stereo, 44100)
        assert len(sounds.read_sound(tmp_path / name, 8000)) == pytest.approx(8000, abs=200)


def test_all_complaints_in_one_run(tmp_path):
    (tmp_path / "zh").mkdir()
    (tmp_path / "en").mkdir()
    soundfile.write(tmp_path / "zh" / "one.wav", np.zeros(0), 8000)
    (tmp_path / "en" / "one.wav").write_text("words, not sound")
    with pytest.raises(MediaError) as caught:
        spoken = {language: tmp_path / language / "one.wav" for language in LANGUAGES}
        sounds.load(SoundFiles({"one": spoken}, {"hold": tmp_path / "music/none.wav"}), 8000)
    complaints = str(caught.value).splitlines()
    assert len(complaints) == 3
    assert "zh/one.wav: there is nothing to hear" in complaints[0]
    assert "en/one.wav: not a sound file" in complaints[1]
    assert "music/none.wav: there is no such file" in complaints[2]


def test_sounds_need_no_pjsip():
    program = "import sys, engine.media.sounds; print('engine.media.ports' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"
