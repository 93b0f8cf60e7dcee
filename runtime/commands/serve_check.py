# SPDX-License-Identifier: Apache-2.0
"""`aio-serve --check`: everything that can be wrong, found without serving.

The checks go on after one that fails, so that one call shows all there is to mend.
"""

import argparse
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from aio.runtime.commands.doctor import Check, check_cache, checks_text
from aio.runtime.commands.limit_option import make_limits
from aio.runtime.commands.serve import access_policy, listen, load, models, reserve_grpc
from aio.runtime.commands.settings import DEFAULT
from aio.runtime.errors import AioError, InputError
from aio.runtime.inputs import as_duration_ms
from aio.runtime.printing import text_table
from aio.runtime.serve.announce import sensors_text
from aio.runtime.serve.hosting.host import check_own_name
from aio.runtime.serve.hosting.lifecycle import ModelDirectory
from aio.runtime.serve.rpc.reserve import address
from aio.runtime.serve.security.policy import in_container, root_warning
from aio.runtime.serve.transport.descriptors import needed, shortage
from aio.runtime.serve.transport.listen import url

OK, FAILED = 0, 2
UNSET = "-"


def check_settings(args: argparse.Namespace) -> int:
    """Print what would be used, where it comes from and whether it works; return the exit code."""
    checks = [
        _try("limits", lambda: _limits(args)),
        _try("access", lambda: _access(args)),
        _try("address", lambda: _address(args)),
        _try("grpc", lambda: _grpc(args)),
        _try("model", lambda: _model(args)),
        check_cache(),
    ]
    print(settings_text(args), checks_text(checks), sep="\n\n")
    return OK if all(check.ok for check in checks) else FAILED


def settings_text(args: argparse.Namespace) -> str:
    """Return every setting with its value and origin; those that were given come first."""
    rows = [[name, _value(args, name), origin] for name, origin in args.origins.items()]
    rows.sort(key=lambda row: row[2] == DEFAULT)
    return text_table(["setting", "value", "from"], rows, left=3)


def _value(args: argparse.Namespace, name: str) -> str:
    option, _, key = name.partition(".")
    value = getattr(args, option.replace("-", "_"))
    if key:
        value = value[key]
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return UNSET if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _try(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, detail=check())
    except (AioError, OSError, ValueError) as error:
        return Check(name, ok=False, detail=str(error))


def _limits(args: argparse.Namespace) -> str:
    limits = make_limits(args)
    given = f"{len(args.limit)} given, the others are the defaults"
    warning = shortage(needed(limits, grpc=args.grpc_port is not None))
    return f"{given}; {warning}" if warning else given


def _access(args: argparse.Namespace) -> str:
    token = access_policy(args).token
    who = "everybody who can connect" if token is None else f"who has one of {token.count} tokens"
    warning = root_warning(os.geteuid(), contained=in_container())
    return f"{who}; {warning}" if warning else who


def _address(args: argparse.Namespace) -> str:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(listener) for listener in listen(args)]
        return f"{' and '.join(map(url, listeners))} can be had"


def _grpc(args: argparse.Namespace) -> str:
    with reserve_grpc(args) as reserved:
        return "not served" if reserved is None else f"{address(reserved)} can be had"


def _model(args: argparse.Namespace) -> str:
    source = models(args)
    if not isinstance(source, ModelDirectory):
        return _loaded(args, args.model, own_name=True)
    catalogue = source.repository.scan()
    entries = [catalogue[name] for name in source.names_at_start(catalogue)]
    problems = [entry.problem for entry in entries if entry.problem]
    newest = [entry.versions[0] for entry in entries if entry.versions]
    problems += [version.problem for version in newest if version.path is None]
    if problems:
        raise InputError("; ".join(problems))
    if not newest:
        return f"{args.model_repository} has no model yet"
    return "; ".join(f"{item.shown}: {_loaded(args, item.path)}" for item in newest)


def _loaded(args: argparse.Namespace, path: Path | None, *, own_name: bool = False) -> str:
    targets = {name: getattr(args, name) for name in ("target_ms", "battery_target_ms")}
    for name, target_ms in targets.items():
        if target_ms is not None:
            as_duration_ms(name, target_ms)
    # A target needs a calibration, which a check does not take the time for.
    untargeted = argparse.Namespace(**{**vars(args), **dict.fromkeys(targets)})
    with load(untargeted, path, calibrate=False) as runtime:
        if own_name:
            check_own_name(runtime.name)
        return (
            f"{runtime.name}, {len(runtime.levels)} levels, isa {runtime.isa}, threads "
            f"{runtime.threads}, {sensors_text(runtime.sensors)}"
        )
