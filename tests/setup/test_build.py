"""What the build cache takes for built, and what makes it build anew. Counterpart: pjsip/build.py."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[2] / "pjsip"
sys.path.insert(0, str(RECIPE))

import build  # noqa: E402

PYTHON = {"tag": "cpython-311-linux-x86_64"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("AGNER_PJSIP_TARBALL", raising=False)


def built(key: str, version: str, tarball: bytes = b"") -> Path:
    home = build.cache_root() / f"{version}-{key}"
    home.mkdir(parents=True)
    (home / "build.json").write_text(json.dumps({"source_sha256": hashlib.sha256(tarball).hexdigest()}))
    return home


def test_a_finished_build_is_found_and_another_recipes_is_not() -> None:
    key = build.recipe_key(PYTHON)
    assert build.find_built(key) is None
    home = built(key, "2.17")
    built("0" * 16, "2.18")
    assert build.find_built(key) == home


def test_a_folder_without_its_record_is_not_built() -> None:
    key = build.recipe_key(PYTHON)
    (build.cache_root() / f"2.17-{key}").mkdir(parents=True)
    assert build.find_built(key) is None


def test_a_named_tarball_is_built_once_and_serves_later_runs_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = build.recipe_key(PYTHON)
    built(key, "2.17", b"debian's")
    named = tmp_path / "own.tar.gz"
    named.write_bytes(b"the user's")
    monkeypatch.setenv("AGNER_PJSIP_TARBALL", str(named))
    assert build.find_built(key) is None
    own = built(key, "2.18", b"the user's")
    assert build.find_built(key) == own
    monkeypatch.delenv("AGNER_PJSIP_TARBALL")
    assert build.find_built(key) is not None


def test_limits_patches_and_python_are_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "pjsip"
    shutil.copytree(RECIPE, copy)
    monkeypatch.setattr(build, "HERE", copy)
    keys = [build.recipe_key(PYTHON), build.recipe_key({"tag": "cpython-313-linux-x86_64"})]
    (copy / "config_site.h").write_text("#define PJSUA_MAX_CALLS 8\n")
    keys.append(build.recipe_key(PYTHON))
    (copy / "patches/one-more.patch").write_text("")
    keys.append(build.recipe_key(PYTHON))
    assert len(set(keys)) == 4


def test_the_environment_is_pointed_at_the_build(tmp_path: Path) -> None:
    home = built(build.recipe_key(PYTHON), "2.17")
    python = {"site": str(tmp_path), "prefix": str(tmp_path)}
    build.link_environment(home, python)
    assert (tmp_path / "agner-pjsip.pth").read_text() == f"{home}/python\n"
    assert (tmp_path / "agner-pjsip.json").read_text() == (home / "build.json").read_text()
