"""Builds the compiled parts: acd_core always, the native parts of engine/ against the PJSIP that pjsip/build.py made.

Name, version and dependencies are in pyproject.toml. Where the environment holds no PJSIP (no agner-pjsip.json) the native
parts are left out with a warning, so that the call machine and the ACD core can be built and tested by themselves.
"""

import json
import os
import sys
from glob import glob
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

os.chdir(Path(__file__).resolve().parent)

WARNINGS = ["-Wall", "-Wextra"]
# Code that Cython generates casts method signatures and leaves helpers unused, by design.
CYTHON_QUIET = ["-Wno-unused-function", "-Wno-unused-parameter", "-Wno-cast-function-type", "-Wno-missing-field-initializers"]


def native_parts() -> list[Extension]:
    record = Path(sys.prefix) / "agner-pjsip.json"
    sources = [*glob("engine/media/*.pyx"), *sorted(glob("engine/media/*_port.c"))]
    if not any(source.endswith(".pyx") for source in sources):
        return []
    if not record.exists():
        print("setup.py: no PJSIP in this environment, so no engine/media ports; `make setup` builds both", file=sys.stderr)
        return []
    pjsip = json.loads(record.read_text())
    return [
        Extension(
            "engine.media.ports",
            sources,
            depends=[*glob("engine/media/*.h"), str(record)],
            include_dirs=["engine/media"],
            library_dirs=[pjsip["library_dir"]],
            runtime_library_dirs=[pjsip["library_dir"]],
            libraries=pjsip["libraries"],
            extra_compile_args=["-O2", *WARNINGS, *CYTHON_QUIET, "-isystem", pjsip["include_dir"], *pjsip["compile_args"]],
        )
    ]


core = [Extension("acd_core", glob("acd_core.pyx"), extra_compile_args=["-O3", *WARNINGS, *CYTHON_QUIET])] if glob("acd_core.pyx") else []
setup(ext_modules=cythonize([*core, *native_parts()], language_level=3, nthreads=os.cpu_count() or 1))
