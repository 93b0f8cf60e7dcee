# SPDX-License-Identifier: Apache-2.0
"""Build the one native extension; everything else is declared in pyproject.toml.

The folders of the repository are mapped into the namespace package `aio`, so `runtime/`
installs as `aio.runtime`. No ISA flag is passed: kernels select their instruction set with
target regions, and the binary as a whole stays at the ABI baseline of the platform.
"""

import os
from glob import glob

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import setup

ParallelCompile("AIO_BUILD_JOBS", default=os.cpu_count() or 1).install()

FOLDERS = ("runtime", "governors", "models")


def packages() -> list[str]:
    """Return every folder below FOLDERS that holds an __init__.py, as an `aio.` package."""
    found = []
    for top in FOLDERS:
        inits = glob(f"{top}/**/__init__.py", recursive=True)
        found += ["aio." + os.path.dirname(init).replace(os.sep, ".") for init in inits]
    return sorted(found)


def sources() -> list[str]:
    """Return the C++ sources of the extension: all of csrc but the tests."""
    return sorted(
        path
        for path in glob("csrc/**/*.cc", recursive=True)
        if not os.path.basename(path).endswith("test.cc")
    )


native = Pybind11Extension(
    "aio.runtime._native",
    sources(),
    include_dirs=["."],
    depends=sorted(glob("csrc/**/*.h", recursive=True) + glob("csrc/**/*.inc", recursive=True)),
    cxx_std=17,
    extra_compile_args=["-O3", "-fvisibility=hidden", "-fno-math-errno", "-ffp-contract=off"],
)

setup(
    packages=packages(),
    package_dir={f"aio.{folder}": folder for folder in FOLDERS},
    ext_modules=[native],
)
