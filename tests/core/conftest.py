"""The core as built for production and as built with ACD_CHECKS=1: the suite runs against both.

The checked build audits itself after every verb and can leave out one law at a time. It is compiled from the same
sources into build/checked/, once per change of them.
"""

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import acd_core

ROOT = Path(__file__).parents[2]
BUILD = """
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup
flags = ["-O1", "-fsanitize=bounds", "-fsanitize-undefined-trap-on-error"]
part = Extension("acd_core", ["acd_core.pyx"], define_macros=[("ACD_CHECKS", "1")], extra_compile_args=flags)
setup(name="checked", ext_modules=cythonize([part], build_dir="build/checked", quiet=True), script_args=[
    "-q", "build_ext", "--force", "--build-lib", sys.argv[1], "--build-temp", "build/checked/temp"])
"""


def build_checked() -> Path:
    sources = [ROOT / "acd_core.pyx", *sorted((ROOT / "acd").glob("*.pxi"))]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources) + sys.version.encode()).hexdigest()
    folder = ROOT / "build" / "checked" / digest[:16]
    found = [*folder.glob("acd_core.*.so")]
    if not found:
        done = subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, f"the ACD_CHECKS build failed:\n{done.stdout}{done.stderr}"
        found = [*folder.glob("acd_core.*.so")]
    return found[0]


@pytest.fixture(scope="session")
def checked() -> ModuleType:
    """acd_core built with ACD_CHECKS=1, beside the production module."""
    spec = importlib.util.spec_from_file_location("acd_core", build_checked())
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.is_checked()
    return module


@pytest.fixture(params=["production", "checked"])
def core(request: pytest.FixtureRequest) -> ModuleType:
    if request.param == "production":
        assert not acd_core.is_checked()
        return acd_core
    module: ModuleType = request.getfixturevalue("checked")
    return module
