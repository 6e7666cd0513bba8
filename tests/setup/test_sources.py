"""The source finder takes only a good PJSIP and says what was wrong. Counterpart: pjsip/sources.py."""

import io
import sys
import tarfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "pjsip"))

import sources  # noqa: E402


def tarball(path: Path, version: str = "2.17", extra: dict[str, str] | None = None) -> Path:
    major, minor, *rest = version.split(".")
    files = {
        "pj/version.mak": f"export PJ_VERSION_MAJOR  := {major}\nexport PJ_VERSION_MINOR  := {minor}\n"
        f"export PJ_VERSION_REV    := {''.join(rest)}\nexport PJ_VERSION_SUFFIX :=\n",
        "pj/pjsip-apps/src/swig/pjsua2.i": "",
    } | (extra or {})
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def obtain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: Path) -> sources.Source:
    monkeypatch.setenv("AGNER_PJSIP_TARBALL", str(named))
    work = tmp_path / "work"
    work.mkdir()
    return sources.obtain(work, lambda text: None)


def test_the_named_tarball_is_used_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tarball(tmp_path / "mine.tar.gz", "2.16.1")
    source = obtain(tmp_path, monkeypatch, named)
    assert (source.version, source.origin) == ("2.16.1", str(named))
    assert len(source.sha256) == 64


@pytest.mark.parametrize(("content", "complaint"), [
    (None, "is not a file"),
    (b"not a tarball", "does not unpack"),
    ("2.14", "2.14 is too old; 2.15 or later"),
])
def test_an_unusable_named_tarball_is_an_error_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | str | None, complaint: str
) -> None:
    named = tmp_path / "mine.tar.gz"
    if isinstance(content, bytes):
        named.write_bytes(content)
    elif content:
        tarball(named, content)
    with pytest.raises(sources.SourceError, match=complaint) as caught:
        obtain(tmp_path, monkeypatch, named)
    assert "What you can do" in str(caught.value)
    assert "upstream" not in str(caught.value).split("What you can do")[0]


def test_a_tarball_of_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "other.tar.gz"
    with tarfile.open(named, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("other/readme"), io.BytesIO())
    with pytest.raises(sources.SourceError, match="is not a PJSIP source tree"):
        obtain(tmp_path, monkeypatch, named)


def test_a_tarball_cannot_write_outside_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tarball(tmp_path / "mine.tar.gz", extra={"../../escaped": "x"})
    obtain(tmp_path, monkeypatch, named)
    assert not (tmp_path / "escaped").exists()


def test_mirrors_come_from_the_machines_own_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dated snapshot is asked after the live path of the same site; other archives are not asked at all."""
    answer = (
        "Debian|Debian|http://one.example/archive/debian/20260101T000000Z/\n"
        "Debian|Debian|http://two.example/debian/\n"
        "Debian|Debian-Security|http://two.example/debian-security/\n"
        "Node|Node|https://three.example/node/\n"
    )
    monkeypatch.setattr(sources, "_run", lambda command, timeout_s: answer)
    assert sources.debian_mirrors() == [
        "http://one.example/debian/",
        "http://one.example/archive/debian/20260101T000000Z/",
        "http://two.example/debian/",
    ]
