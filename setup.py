# SPDX-License-Identifier: Apache-2.0
"""Build the native extensions; everything else is declared in pyproject.toml.

The folders of the repository are mapped into the namespace package `aio`, so `runtime/`
installs as `aio.runtime`. No ISA flag is passed: kernels select their instruction set with
target regions, and the binary as a whole stays at the ABI baseline of the platform.
"""

import os
from glob import glob
from typing import Any

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


GRPC = ("csrc/grpc/", "csrc/bindings/grpc.cc")


def sources(*, grpc: bool) -> list[str]:
    """Return the C++ sources of one of the two extensions: all of csrc but the tests."""
    return sorted(
        path
        for path in glob("csrc/**/*.cc", recursive=True)
        if not path.endswith("test.cc") and path.startswith(GRPC) == grpc
    )


def extension(name: str, **kwargs: Any) -> Pybind11Extension:
    """Return an extension with what is the same for both."""
    return Pybind11Extension(
        f"aio.runtime.{name}",
        include_dirs=["."],
        depends=sorted(glob("csrc/**/*.h", recursive=True) + glob("csrc/**/*.inc", recursive=True)),
        cxx_std=17,
        extra_compile_args=["-O3", "-fvisibility=hidden", "-fno-math-errno", "-ffp-contract=off"],
        **kwargs,
    )


native = extension("_native", sources=sources(grpc=False))
# Needs libnghttp2-dev; without it the package is built without gRPC, and `--grpc-port` says so.
grpc = extension("_grpc", sources=sources(grpc=True), libraries=["nghttp2"], optional=True)

setup(
    packages=packages(),
    package_dir={f"aio.{folder}": folder for folder in FOLDERS},
    ext_modules=[native, grpc],
)
