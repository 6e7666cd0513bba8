"""The prompts as shipped: in both languages, at the right format and level, and used; the parts that values are spoken
from; what a wrong file is told."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from engine.callflow import say
from engine.callflow.errors import MediaError
from engine.callflow.settings import SoundFiles
from engine.config.sounds import read_sounds
from engine.config.yaml_nodes import Report
from engine.media import sounds
from prompts import make_prompts

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "prompts"
COMPLAINTS = Report()
SHIPPED = read_sounds(FOLDER, COMPLAINTS) or SoundFiles({}, {})
FILES = sorted({path for spoken in SHIPPED.prompts.values() for path in spoken.values()})
PARTS = sorted(path for parts in SHIPPED.parts.values() for path in parts.values())
LANGUAGES = ("zh", "en")


def short(path: Path) -> str:
    return path.relative_to(FOLDER).with_suffix("").as_posix()


def test_manifest_and_files_are_one_to_one():
    assert COMPLAINTS.found == []
    named = [*FILES, *PARTS, *SHIPPED.music.values()]
    assert sorted(named) == sorted(path for path in FOLDER.rglob("*") if path.suffix in (".wav", ".flac"))


def test_every_prompt_is_in_both_languages():
    assert all(sorted(spoken) == sorted(LANGUAGES) for spoken in SHIPPED.prompts.values())


def test_every_part_of_every_grammar_is_there():
    for language in LANGUAGES:
        assert {part.removeprefix(say.PREFIX) for part in SHIPPED.parts[language]} == say.recorded(language)


def named_in_config() -> Iterator[str]:
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

    for path in (ROOT / "config").rglob("*.yaml"):
        yield from scalars(yaml.compose(path.read_text()))


def named_in_code() -> Iterator[str]:
    """What the engine plays by itself is named in the callflow."""
    for path in (ROOT / "engine/callflow").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_every_prompt_is_used():
    assert set(SHIPPED.prompts) - {*named_in_config(), *named_in_code()} == set()


def heard_of(path: Path, at_least_s: float, at_most_s: float, quiet_s: float) -> np.ndarray:
    """The samples of a file, after all that holds for everything that is spoken."""
    info = soundfile.info(path)
    assert info.channels == 1 and info.samplerate in (8000, 16000, 24000, 32000, 44100, 48000)
    samples, rate = soundfile.read(path)
    assert at_least_s <= len(samples) / rate <= at_most_s
    level = make_prompts.active_level_dbfs(samples, rate)
    assert abs(level - make_prompts.LEVEL_DBFS) <= make_prompts.LEVEL_WINDOW_DB
    assert 20 * np.log10(np.max(np.abs(samples))) <= make_prompts.PEAK_DBFS + 0.1
    loud = np.flatnonzero(np.abs(samples) >= 10 ** (-50 / 20))
    assert loud[0] / rate <= quiet_s and (len(samples) - loud[-1]) / rate <= quiet_s, "silence at an end"
    assert abs(samples[0]) < 0.001 and abs(samples[-1]) < 0.001, "a click"
    return samples


@pytest.mark.parametrize("path", FILES, ids=short)
def test_prompt_format_level_and_length(path):
    heard_of(path, at_least_s=0.3, at_most_s=30.0, quiet_s=0.3)


@pytest.mark.parametrize("path", PARTS, ids=short)
def test_parts_are_spliced_without_a_gap_or_a_click(path):
    heard_of(path, at_least_s=0.1, at_most_s=2.0, quiet_s=0.04)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_spoken_value_is_as_long_as_its_parts_and_its_pauses_are_silent(language):
    loaded = sounds.load(SHIPPED, 8000)
    parts = say.say("phone", "4008001001", language)
    pauses = [loaded.prompts[language, part] for part in parts if part == "say.pause"]
    assert len(pauses) == 2 and all(len(pause) == say.PAUSE_S * 8000 and not pause.any() for pause in pauses)
    whole = np.concatenate([loaded.prompts[language, part] for part in parts]) / 32768
    seams = np.cumsum([len(loaded.prompts[language, part]) for part in parts])[:-1]
    assert np.max(np.abs(whole[seams] - whole[seams - 1])) < 0.001
    assert 3.0 < len(whole) / 8000 < 9.0


@pytest.mark.parametrize("name", SHIPPED.music)
def test_music_loops_without_a_click(name):
    samples, _ = soundfile.read(SHIPPED.music[name])
    seam = abs(samples[0] - samples[-1])
    assert seam <= np.max(np.abs(np.diff(samples)))
    assert np.max(np.abs(samples)) < 0.7


def test_words_are_in_their_language():
    lines = list(make_prompts.lines(FOLDER))
    assert {line.path for line in lines} == {*FILES, *PARTS} - set((FOLDER / "tones").iterdir())
    for line in lines:
        if line.language == "zh":
            assert any("\u4e00" <= letter <= "\u9fff" for letter in line.words), line
        else:
            assert line.words.isascii(), line


def phonemes(words: str, voice: str) -> str:
    command = ["espeak-ng", "-v", voice, "-x", "-q", "--", words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_chinese_is_read_as_chinese():
    """Not as the English reading of its pinyin; 重 is zhong4 in 重要 only."""
    voice = make_prompts.VOICES["zh"][0]
    assert "(en)" in phonemes("您好", "cmn") and "ts.h" not in phonemes("重复", voice)
    for line in make_prompts.lines(FOLDER):
        if line.language == "zh":
            told = make_prompts.reading(line.words, "zh")
            assert "(en)" not in phonemes(told, voice) and "重" not in told.replace("重要", ""), line


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
    assert all(make_prompts.is_ours(path) for path in [*FILES, *PARTS] if path.parent.name != "tones")


def test_what_sounds_the_same_is_not_written_again(tmp_path):
    samples = make_prompts.level(make_prompts.speak("Two.", "en", make_prompts.PART_MARGIN_S))
    assert not make_prompts.is_there(tmp_path / "two.wav", samples)
    make_prompts.write(tmp_path / "two.wav", samples)
    assert make_prompts.is_there(tmp_path / "two.wav", samples)
    assert not make_prompts.is_there(tmp_path / "two.wav", samples[:-1])
    assert not make_prompts.is_there(tmp_path / "two.wav", samples + 0.01)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_load_resamples_to_the_bridge(rate):
    loaded = sounds.load(SHIPPED, rate)
    files = {(language, name): path for name, spoken in SHIPPED.prompts.items() for language, path in spoken.items()}
    files |= {(language, part): path for language, parts in SHIPPED.parts.items() for part, path in parts.items()}
    assert set(loaded.prompts) == {*files, *((language, "say.pause") for language in LANGUAGES)}
    for key, path in files.items():
        assert len(loaded.prompts[key]) / rate == pytest.approx(soundfile.info(path).duration, abs=0.001)
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
