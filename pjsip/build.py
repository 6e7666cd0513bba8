"""Builds PJSIP and its pjsua2 binding, tuned for a switch, into a cache outside the checkout; bootstrap is the caller.

    python3 pjsip/build.py .venv/bin/python

makes sure that the named Python can `import pjsua2` and that setup.py finds the headers and libraries. What it built
is kept in ${XDG_CACHE_HOME:-~/.cache}/agner/pjsip/<version>-<key>/ as include/, lib/, python/ and build.json; the key
covers what the result depends on: config_site.h, patches/, the options below, the Python, the operating system. A
build happens in a scratch folder beside it and arrives by one rename, so it may be interrupted anywhere. The virtual
environment gets two small files: agner-pjsip.pth (where pjsua2 is) and agner-pjsip.json (a copy of build.json, for
setup.py and the daemon).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sources import SourceError, obtain, sha256_of

HERE = Path(__file__).resolve().parent
RECIPE = "1"  # raised when the steps below change, so that everybody builds anew
OPTIMISE = "-O2 -g1 -fPIC -DNDEBUG"
# The binding is one C++ file of 6 MB: -O2 doubles its three quarters of the build for nothing a call would notice.
OPTIMISE_BINDING = "-O1 -g0 -fPIC -DNDEBUG"
CONFIGURE = """
    --enable-shared --enable-epoll --with-external-srtp --enable-speex-resample
    --disable-speex-codec --disable-speex-aec --disable-gsm-codec --disable-ilbc-codec --disable-g7221-codec
    --disable-l16-codec --disable-bcg729 --disable-opencore-amr --disable-silk --disable-lyra
    --disable-video --disable-sound --disable-sdl --disable-ffmpeg --disable-v4l2 --disable-openh264 --disable-vpx
    --disable-libyuv --disable-libwebrtc --disable-upnp
""".split()
CODECS = ("PCMU/8000", "PCMA/8000", "G722/16000", "opus/48000")
PYTHON_FACTS = """
import json, sys, sysconfig
print(json.dumps(dict(include=sysconfig.get_path("include"), site=sysconfig.get_path("purelib"), prefix=sys.prefix,
                      tag=f"{sys.implementation.cache_tag}-{sysconfig.get_platform()}")))
"""
SELF_CHECK = """
import pjsua2 as pj
endpoint, config = pj.Endpoint(), pj.EpConfig()
config.uaConfig.threadCnt, config.logConfig.level, config.logConfig.consoleLevel = 0, 0, 0
endpoint.libCreate(); endpoint.libInit(config)
print(*(codec.codecId for codec in endpoint.codecEnum2()))
endpoint.libDestroy()
"""


class BuildError(Exception):
    """A stage failed; the text holds the end of its log."""


def say(text: str) -> None:
    print(f"pjsip: {text}", flush=True)


class Stages:
    """Runs the long commands: one line per stage, a sign of life every 15 s, the output in a log file."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.running: set[subprocess.Popen[bytes]] = set()

    def run(self, name: str, command: list[str], cwd: Path, env: dict[str, str] | None = None) -> str:
        started = time.monotonic()
        log = self.log / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, cwd=cwd, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, **(env or {})},
            )
        self.running.add(process)
        while True:
            try:
                code = process.wait(timeout=15)
                break
            except subprocess.TimeoutExpired:
                say(f"{name} ... {time.monotonic() - started:.0f} s")
        self.running.discard(process)
        text = log.read_text(errors="replace")
        if code != 0:
            tail = "\n".join("    " + line for line in text.splitlines()[-25:])
            raise BuildError(f"{name} failed ({command[0]} ended with {code}). The end of {log}:\n{tail}")
        say(f"{name}: {time.monotonic() - started:.0f} s")
        return text

    def stop(self) -> None:
        for process in list(self.running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


def cache_root() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agner" / "pjsip"


def recipe_key(python: dict[str, str]) -> str:
    """Sixteen hex digits over everything the built result depends on, apart from the version it happens to find."""
    digest = hashlib.sha256(" ".join((RECIPE, OPTIMISE, OPTIMISE_BINDING, *CONFIGURE)).encode())
    for path in [HERE / "config_site.h", *sorted((HERE / "patches").glob("*.patch"))]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    system = platform.freedesktop_os_release()
    digest.update(f"{python['tag']} {system['ID']} {system.get('VERSION_ID')} {cache_root()}".encode())
    return digest.hexdigest()[:16]


def find_built(key: str) -> Path | None:
    """The newest build by this recipe; where the user names a tarball, one made from that tarball."""
    found = list(cache_root().glob(f"*-{key}/build.json"))
    if own := os.environ.get("AGNER_PJSIP_TARBALL"):
        wanted = sha256_of(Path(own)) if os.path.isfile(own) else ""
        found = [record for record in found if json.loads(record.read_text())["source_sha256"] == wanted]
    return max((record.parent for record in found), key=lambda home: home.stat().st_mtime, default=None)


def build(key: str, python: dict[str, str], python_exe: str, scratch: Path, stages: Stages) -> Path:
    """Fetch, patch, compile, install, check; returns the finished folder in the cache."""
    started = time.monotonic()
    source = obtain(scratch, say)
    say(f"source: PJSIP {source.version} from {source.origin}")
    tree, home = source.tree, cache_root() / f"{source.version}-{key}"
    patches = apply_patches(tree)
    shutil.copy(HERE / "config_site.h", tree / "pjlib/include/pj/config_site.h")
    # Debian's copy of the source lacks this file, which the makefile still names; it holds nothing for Linux.
    (tree / "pjmedia/src/pjmedia-audiodev/bdimad_dev.c").touch()

    flags = {"CFLAGS": OPTIMISE, "CXXFLAGS": OPTIMISE, "LDFLAGS": f"-Wl,-rpath,{home}/lib", "LIBS": "-lspeexdsp"}
    stages.run("configure", ["./aconfigure", f"--prefix={home}", *CONFIGURE], tree, flags)
    library = ["make", f"-j{os.cpu_count()}", "lib"]
    at_once([
        lambda: stages.run("compile the library", library, tree),
        lambda: compile_binding(tree, python, stages),
    ], stages)
    stages.run("install", ["make", "install", f"DESTDIR={scratch}/stage"], tree)

    stage = Path(f"{scratch}/stage{home}")
    for archive in stage.glob("lib/*.a"):
        archive.unlink()
    record = describe(home, stage) | {
        "version": source.version, "origin": source.origin, "source_sha256": source.sha256, "patches": patches,
        "python": python["tag"],
    }
    link_binding(tree, stage, record, stages)
    check(stage, python_exe, stages)
    (stage / "build.json").write_text(json.dumps(record, indent=2) + "\n")
    if home.exists():
        shutil.rmtree(home)
    stage.rename(home)
    say(f"built in {time.monotonic() - started:.0f} s: {home}")
    return home


def apply_patches(tree: Path) -> list[str]:
    """Applies what applies; a newer PJSIP that already holds a change makes its patch fall away."""
    applied = []
    for patch in sorted((HERE / "patches").glob("*.patch")):
        command = ["patch", "-p1", "--forward", "--batch", "--fuzz=0", "-i", str(patch)]
        if subprocess.run([*command, "--dry-run"], cwd=tree, capture_output=True).returncode == 0:
            subprocess.run(command, cwd=tree, check=True, capture_output=True)
            applied.append(patch.stem)
        else:
            say(f"patch {patch.stem} does not apply to this version: left out")
    return applied


def at_once(jobs: list[Callable[[], object]], stages: Stages) -> None:
    """Runs the jobs side by side; the first failure stops the others."""
    errors: list[BaseException] = []

    def guarded(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:
            errors.append(error)
            stages.stop()

    threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def includes(tree: Path) -> list[str]:
    return [f"-I{tree / room / 'include'}" for room in ("pjlib", "pjlib-util", "pjnath", "pjmedia", "pjsip")]


def compile_binding(tree: Path, python: dict[str, str], stages: Stages) -> None:
    swig = tree / "pjsip-apps/src/swig/python"
    command = ["swig", *includes(tree), "-c++", "-w312", "-threads", "-python", "-o", "pjsua2_wrap.cpp", "../pjsua2.i"]
    stages.run("generate the Python binding", command, swig)
    endian = ["-DPJ_AUTOCONF=1", f"-DPJ_IS_LITTLE_ENDIAN={int(sys.byteorder == 'little')}",
              f"-DPJ_IS_BIG_ENDIAN={int(sys.byteorder == 'big')}"]
    compiler = ["g++", "-c", *OPTIMISE_BINDING.split(), *endian, f"-I{python['include']}", *includes(tree)]
    stages.run("compile the Python binding", [*compiler, "pjsua2_wrap.cpp", "-o", "pjsua2_wrap.o"], swig)


def link_binding(tree: Path, stage: Path, record: dict[str, Any], stages: Stages) -> None:
    swig, out = tree / "pjsip-apps/src/swig/python", stage / "python"
    out.mkdir()
    libraries = [f"-l{name}" for name in record["libraries"]]
    command = ["g++", "-shared", "pjsua2_wrap.o", "-o", str(out / "_pjsua2.so"), f"-L{stage}/lib", *libraries,
               f"-Wl,-rpath,{record['library_dir']}"]
    stages.run("link the Python binding", command, swig, {"LD_LIBRARY_PATH": f"{stage}/lib"})
    shutil.copy(swig / "pjsua2.py", out)


def describe(home: Path, stage: Path) -> dict[str, Any]:
    """What a user of the build needs: setup.py compiles and links by it, the daemon reads the compiled limits."""
    command = ["pkg-config", "--cflags-only-other", "--libs-only-l", "libpjproject"]
    environment = {**os.environ, "PKG_CONFIG_PATH": f"{stage}/lib/pkgconfig"}
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.split()
    limits = re.findall(r"^#define\s+(\w+)\s+(\d+)\b", (HERE / "config_site.h").read_text(), re.M)
    return {
        "prefix": str(home),
        "include_dir": str(home / "include"),
        "library_dir": str(home / "lib"),
        "python_dir": str(home / "python"),
        "compile_args": [flag for flag in answer if flag.startswith("-D")] + ["-DNDEBUG"],
        "libraries": [flag[2:] for flag in answer if flag.startswith("-l")],
        "limits": {name: int(value) for name, value in limits},
    }


def check(stage: Path, python_exe: str, stages: Stages) -> None:
    env = {"LD_LIBRARY_PATH": f"{stage}/lib", "PYTHONPATH": f"{stage}/python"}
    heard = stages.run("check", [python_exe, "-c", SELF_CHECK], stage, env)
    missing = [codec for codec in CODECS if codec not in heard]
    if missing:
        raise BuildError(f"the finished library lacks {', '.join(missing)}; it has: {heard.strip()}")


def link_environment(home: Path, python: dict[str, str]) -> None:
    """Points the virtual environment at the build; each file is replaced whole or not at all."""
    for path, text in (
        (Path(python["site"]) / "agner-pjsip.pth", f"{home}/python\n"),
        (Path(python["prefix"]) / "agner-pjsip.json", (home / "build.json").read_text()),
    ):
        if not path.exists() or path.read_text() != text:
            fresh = path.with_suffix(".new")
            fresh.write_text(text)
            fresh.rename(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", help="the Python to build for, e.g. .venv/bin/python")
    python_exe = os.path.abspath(parser.parse_args().python)
    python = json.loads(subprocess.check_output([python_exe, "-c", PYTHON_FACTS], text=True))

    key, root = recipe_key(python), cache_root()
    home = find_built(key)
    if home is None:
        root.mkdir(parents=True, exist_ok=True)
        with (root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another build is under way; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            home = find_built(key) or build_in_scratch(key, python, python_exe)
    link_environment(home, python)
    return 0


def build_in_scratch(key: str, python: dict[str, str], python_exe: str) -> Path:
    """The caller holds the lock, so any scratch folder found is a dead build's."""
    for stale in cache_root().glob("building-*"):
        shutil.rmtree(stale, ignore_errors=True)
    log = cache_root() / "log"
    log.mkdir(exist_ok=True)
    stages = Stages(log)

    def leave(signum: int, frame: object) -> None:
        stages.stop()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    say(f"building PJSIP, about two minutes on two cores; logs in {log}")
    scratch = Path(tempfile.mkdtemp(prefix="building-", dir=cache_root()))
    try:
        return build(key, python, python_exe, scratch, stages)
    finally:
        stages.stop()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BuildError, SourceError) as error:
        sys.exit(f"pjsip: {error}")
    except KeyboardInterrupt:
        sys.exit("pjsip: interrupted; run it again to start over")
