"""Builds the compiled parts: acd_core always, the native parts of engine/ against the PJSIP that pjsip/build.py made.

Name, version and dependencies are in pyproject.toml. A part is one .pyx and the C files beside it; what Cython
generates goes to build/. AGNER_SANITIZE holds a sanitizer's compiler flags (tests/sanitizers). Where the environment
holds no PJSIP (no agner-pjsip.json) the parts that need it are left out with a warning, so that the call machine and
the ACD core can be built and tested by themselves.
"""

import json
import os
import sys
from glob import glob
from pathlib import Path
from typing import Any

from Cython.Build import cythonize
from setuptools import Extension, setup

os.chdir(Path(__file__).resolve().parent)

WARNINGS = ["-Wall", "-Wextra"]
# Code that Cython generates casts method signatures and leaves helpers unused, by design.
CYTHON_QUIET = [
    f"-Wno-{noise}"
    for noise in ("unused-function", "unused-parameter", "cast-function-type", "missing-field-initializers")
]

SANITIZE = ["-g", *flags.split()] if (flags := os.environ.get("AGNER_SANITIZE")) else []


def part(module: str, *c_files: str, compile_args: list[str], **more: Any) -> Extension:
    """The extension `module` from its .pyx and the C files that match; rebuilt when a header beside them changes."""
    pyx = Path(module.replace(".", "/") + ".pyx")
    folder = pyx.parent
    return Extension(
        module,
        [str(pyx), *sorted(name for pattern in c_files for name in glob(str(folder / pattern)))],
        depends=[*glob(str(folder / "*.h")), *glob("acd/*.pxi"), *more.pop("depends", [])],
        include_dirs=[str(folder)],
        extra_compile_args=[*WARNINGS, *CYTHON_QUIET, *compile_args, *SANITIZE],
        extra_link_args=SANITIZE,
        **more,
    )


def on_pjsip(module: str, *c_files: str) -> list[Extension]:
    record = Path(sys.prefix) / "agner-pjsip.json"
    if not record.exists():
        print(f"setup.py: no PJSIP in this environment, so no {module}; `make setup` builds both", file=sys.stderr)
        return []
    pjsip = json.loads(record.read_text())
    return [
        part(
            module,
            *c_files,
            compile_args=["-O2", "-isystem", pjsip["include_dir"], *pjsip["compile_args"]],
            depends=[str(record)],
            library_dirs=[pjsip["library_dir"]],
            runtime_library_dirs=[pjsip["library_dir"]],
            libraries=[*pjsip["libraries"], "m"],
        )
    ]


# With its audits. The compiler checks the bounds of arrays within structs, acd_core.pyx those of all others.
CHECKED: dict[str, Any] = {
    "compile_args": ["-O1", "-fsanitize=bounds", "-fsanitize-undefined-trap-on-error"],
    "define_macros": [("ACD_CHECKS", "1")],
}

parts = [
    part("acd_core", **(CHECKED if os.environ.get("ACD_CHECKS") else {"compile_args": ["-O3"]})),
    part("benchmarks.generator.source", "rtp_*.c", "stamp.c", compile_args=["-O2"]),
    part("engine.media.rings", compile_args=["-O2"]),
    *on_pjsip("engine.media.ports", "*_port.c", "rtp_*.c", "silence.c"),
    *on_pjsip(
        *("engine.sip.gate", "gate_module.c", "addresses.c", "connections.c", "methods.c", "refusals.c"),
        *("repeats.c", "shape.c", "sources.c"),
    ),
    *on_pjsip("engine.sip.large", "addresses.c"),
    *on_pjsip("engine.sip.requests", "requests_module.c", "shape.c"),
    *on_pjsip("engine.sip.slots"),
    *on_pjsip("engine.sip.tls"),
    *on_pjsip("engine.sip.turned_away"),
    *on_pjsip("engine.sip.unheard"),
]
# bootstrap compiles the parts in place by build_ext, and then installs the project itself with AGNER_PARTS=none.
wanted = [] if os.environ.get("AGNER_PARTS") == "none" else [one for one in parts if Path(one.sources[0]).exists()]
setup(ext_modules=cythonize(wanted, build_dir="build/cython", language_level=3, nthreads=os.cpu_count(), quiet=True))
