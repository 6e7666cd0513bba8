"""Where PJSIP's source comes from: three places, tried in order, each verified; build.py is the caller.

1. A tarball the user names in AGNER_PJSIP_TARBALL. The user vouches for it; its SHA-256 is recorded. Named and unusable
   is an error: nothing else is tried.
2. Debian's own archive: the component `Xpjproject` of sid's source package `asterisk`, from the mirror this machine's
   apt already uses. Debian's keyring vouches for the index, the index for the file. apt-get works in a private folder,
   so the machine's own sources and lists stay as they are.
3. Upstream's release tarball at a pinned SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tarfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

OLDEST = (2, 15)
UPSTREAM_URL = "https://github.com/pjsip/pjproject/archive/refs/tags/2.17.tar.gz"
UPSTREAM_SHA256 = "065fe06c06788d97c35f563796d59f00ce52fe9558a52d7b490a042a966facce"
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")
SNAPSHOT = re.compile(r"(?:/archive)?(/debian)/\d{8}T\d{6}Z/?$")


class SourceError(Exception):
    """This place cannot give us the source; the text says why, for the user."""


@dataclass(frozen=True)
class Source:
    tree: Path
    version: str
    origin: str
    sha256: str


def obtain(work: Path, say: Callable[[str], None]) -> Source:
    """The unpacked source tree under `work`, from the first place that has a good one."""
    own = os.environ.get("AGNER_PJSIP_TARBALL")
    places = [("AGNER_PJSIP_TARBALL", _from_user)] if own else [
        ("Debian's source package", _from_debian),
        ("upstream's release", _from_upstream),
    ]
    reasons = []
    for name, fetch in places:
        say(f"source: asking {name}")
        try:
            tarball, origin = fetch(work, say)
            return _unpack(tarball, origin, work)
        except (SourceError, OSError, subprocess.TimeoutExpired) as error:
            say(f"source: {name}: {error}")
            reasons.append(f"  {name}: {error}")
    raise SourceError(
        "no usable PJSIP source. Tried:\n" + "\n".join(reasons) + "\n"
        f"What you can do: download {UPSTREAM_URL}\n"
        "on a machine that can reach it, copy it here and run AGNER_PJSIP_TARBALL=/path/to/it make setup"
    )


def _from_user(work: Path, say: Callable[[str], None]) -> tuple[Path, str]:
    tarball = Path(os.environ["AGNER_PJSIP_TARBALL"]).expanduser()
    if not tarball.is_file():
        raise SourceError(f"{tarball} is not a file")
    return tarball, str(tarball)


def _from_debian(work: Path, say: Callable[[str], None]) -> tuple[Path, str]:
    keyring = next((path for path in KEYRINGS if os.path.exists(path)), None)
    if keyring is None:
        raise SourceError("no Debian keyring on this machine (package debian-archive-keyring)")
    failures = []
    for mirror in debian_mirrors():
        try:
            return _from_mirror(work, mirror, keyring, say), f"Debian sid, source package asterisk, {mirror}"
        except SourceError as error:
            failures.append(f"{mirror}: {error}")
    raise SourceError("; ".join(failures) or "apt has no Debian mirror configured")


def debian_mirrors() -> list[str]:
    """Base addresses of the Debian archive this machine's apt is set up for, the likeliest to carry sid first.

    A dated snapshot carries no newer sid than its date, so the live path on the same site is asked before it.
    """
    fields = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    answer = _run(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"], timeout_s=30)
    rows = [line.split("|") for line in answer.splitlines()]
    found = [uri for origin, label, uri in rows if origin == label == "Debian"]
    # Before the first `apt-get update` the origin of a repository is not known: its path has to do.
    found = found or [uri for _, _, uri in rows if re.search(r"/debian(/\d{8}T\d{6}Z)?/?$", uri)]
    ordered: list[str] = []
    for uri in found:
        for candidate in (SNAPSHOT.sub(r"\1/", uri), uri):
            if candidate not in ordered:
                ordered.append(candidate)
    return ordered


def _from_mirror(work: Path, mirror: str, keyring: str, say: Callable[[str], None]) -> Path:
    apt = _private_apt(work / "apt", mirror, keyring)
    try:
        _run([*apt, "update"], timeout_s=180)
    except SourceError as error:
        if "is expired" not in str(error):
            raise
        # A frozen or slow mirror: what it has is still what Debian signed, only not the newest.
        say(f"source: the index of {mirror} is out of date but Debian's signature on it is good; using it")
        apt += ["-o", "Acquire::Check-Valid-Until=false"]
        _run([*apt, "update"], timeout_s=180)
    listing = _run([*apt, "--print-uris", "--download-only", "source", "asterisk"], timeout_s=60)
    wanted = re.search(r"^'([^']+orig-Xpjproject\.tar\.\w+)' (\S+) \d+ SHA256:([0-9a-f]{64})$", listing, re.M)
    if wanted is None:
        raise SourceError("the source package asterisk has no component Xpjproject with a SHA256")
    uri, name, sha256 = wanted.groups()
    tarball = work / name
    _run(["/usr/lib/apt/apt-helper", *apt[1:], "download-file", uri, str(tarball), f"SHA256:{sha256}"], timeout_s=300)
    if sha256_of(tarball) != sha256:
        raise SourceError(f"{name} does not have the SHA256 its signed index promises")
    return tarball


def _private_apt(state: Path, mirror: str, keyring: str) -> list[str]:
    """The apt-get command line that reads one deb-src line and keeps everything it learns under `state`."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    sources = state / "sources.list"
    sources.write_text(f"deb-src [signed-by={keyring}] {mirror} sid main\n")
    options = {
        "Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::Lists": state / "lists", "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "root",  # the folder may lie in a home that _apt cannot enter; signatures still decide
        "Acquire::http::Timeout": 20, "Acquire::https::Timeout": 20, "Acquire::Retries": 2,
        "Acquire::Check-Valid-Until": "true",
    }
    return ["apt-get", *(part for key, value in options.items() for part in ("-o", f"{key}={value}")), "-q"]


def _from_upstream(work: Path, say: Callable[[str], None]) -> tuple[Path, str]:
    tarball = work / "upstream.tar.gz"
    with urllib.request.urlopen(UPSTREAM_URL, timeout=30) as answer, tarball.open("wb") as out:
        while block := answer.read(1 << 16):
            out.write(block)
    if sha256_of(tarball) != UPSTREAM_SHA256:
        raise SourceError(f"{UPSTREAM_URL} does not have the pinned SHA256; somebody changed it")
    return tarball, UPSTREAM_URL


def _unpack(tarball: Path, origin: str, work: Path) -> Source:
    target = work / "source"
    target.mkdir()
    try:
        with tarfile.open(tarball) as archive:
            archive.extractall(target, members=_inside(archive))
    except tarfile.TarError as error:
        raise SourceError(f"{tarball.name} does not unpack: {error}") from error
    tree = next((path.parent for path in sorted(target.glob("*/version.mak"))), None)
    if tree is None or not (tree / "pjsip-apps/src/swig/pjsua2.i").is_file():
        raise SourceError(f"{tarball.name} is not a PJSIP source tree with its pjsua2 binding")
    version = _version(tree)
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST:
        raise SourceError(f"PJSIP {version} is too old; {OLDEST[0]}.{OLDEST[1]} or later is needed")
    return Source(tree, version, origin, sha256_of(tarball))


def _inside(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Plain files and folders that stay inside the target; Debian 12's Python has no tarfile data filter yet."""
    for member in archive:
        path = PurePosixPath(member.name)
        if (member.isfile() or member.isdir()) and not path.is_absolute() and ".." not in path.parts:
            yield member


def _version(tree: Path) -> str:
    text = (tree / "version.mak").read_text()
    part = {key: value.strip() for key, value in re.findall(r"^export PJ_VERSION_(\w+)\s*:=(.*)$", text, re.M)}
    return ".".join(filter(None, (part["MAJOR"], part["MINOR"], part["REV"]))) + part["SUFFIX"]


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(command: list[str], *, timeout_s: float) -> str:
    plain = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=plain)
    if done.returncode != 0:
        lines = done.stderr.splitlines()
        errors = [line for line in lines if line.startswith(("E:", "Err"))] or lines
        raise SourceError(f"{Path(command[0]).name} said: {' / '.join(errors[-3:])}")
    return done.stdout
