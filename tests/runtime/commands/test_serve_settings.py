# SPDX-License-Identifier: Apache-2.0
"""The options of aio-serve, and the files under scripts/ that must not drift away from them."""

from __future__ import annotations

import argparse
import configparser
import json
import re
import resource
import shlex
import shutil
import socket
import stat
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from model_parts import ModelBuilder

from aio.runtime.commands import serve
from aio.runtime.commands.queue_options import OPTION_OF_LIMIT
from aio.runtime.commands.serve_check import check_settings, settings_text
from aio.runtime.commands.service_links import is_service_link
from aio.runtime.commands.settings import Settings
from aio.runtime.errors import InputError
from aio.runtime.serve.limits import Limits
from aio.runtime.shipped import SHIPPED_MODEL

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "scripts" / "aio-serve.toml"
UNIT = ROOT / "scripts" / "aio-serve.service"
DEPLOY = ROOT / "scripts" / "deploy"


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aio-serve")
    serve.add_arguments(parser)
    return parser


def read(*arguments: str, **environ: str) -> argparse.Namespace:
    return Settings(make_parser(), serve.VARIABLES).read(arguments, environ)


def enabled(text: str) -> str:
    """Return the example with every setting taken out of its comment."""
    return re.sub(r"^#(?=[a-z_-]+ = )", "", text, flags=re.MULTILINE)


def test_the_example_changes_nothing() -> None:
    args, plain = read("--config", str(EXAMPLE)), read()
    assert {**vars(args), "config": None} == vars(plain)


def test_the_example_has_every_option_and_all_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    path.write_text(enabled(EXAMPLE.read_text()))
    args = read("--config", str(path))
    assert {name for name, origin in args.origins.items() if origin != str(path)} == set()
    assert set(args.limit) == {field.name for field in fields(Limits)} - OPTION_OF_LIMIT.keys()


def test_defaults_in_the_example_are_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    path.write_text(enabled(EXAMPLE.read_text()))
    args, plain = read("--config", str(path)), read()
    assert Limits(**args.limit) == Limits()
    examples = {"config", "origins", "limit"}
    for name, value in vars(plain).items():
        if value is not None and name not in examples:
            assert getattr(args, name) == value, name


def test_every_option_has_its_variable() -> None:
    args = read(
        AIO_SERVE_MODEL="m.aio",
        AIO_SERVE_TARGET_MS="20",
        AIO_SERVE_NO_REPLAN="true",
        AIO_SERVE_ALLOWED_HOST="a,b",
        AIO_SERVE_LIMIT="connections=3,body_bytes=1MiB",
    )
    assert (args.model, args.target_ms, args.no_replan) == (Path("m.aio"), 20.0, True)
    assert args.allowed_host == ["a", "b"]
    assert args.limit == {"connections": 3, "body_bytes": 1 << 20}


@pytest.mark.parametrize("written", ['"0660"', '"660"', '"0o660"'])
def test_the_mode_of_a_file_is_that_of_the_socket(tmp_path: Path, written: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f'unix-mode = {written}\nunix-socket = "s"\nno-tcp = true\n')
    args = read("--config", str(path))
    (listener,) = serve.listen(args)
    with listener:
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660
    rows = [line.split() for line in settings_text(args).splitlines()]
    assert ["unix-mode", "0660", str(path)] in rows


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("0o660", 'expected octal digits as text, such as "0660", found 432'),
        ("660", 'expected octal digits as text, such as "0660", found 660'),
        ("true", 'expected octal digits as text, such as "0660", found True'),
        ('"9999"', "expected octal digits from 0 to 0777, such as 0660, found '9999'"),
    ],
)
def test_modes_of_a_file_that_are_refused(tmp_path: Path, written: str, said: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f"unix-mode = {written}\n")
    with pytest.raises(InputError) as caught:
        read("--config", str(path))
    assert f"{path}: unix-mode: {said}" in str(caught.value)


def test_the_mode_elsewhere_is_octal_digits(capsys: pytest.CaptureFixture[str]) -> None:
    assert read("--unix-mode", "600").unix_mode == 0o600
    assert read(AIO_SERVE_UNIX_MODE="600").unix_mode == 0o600
    with pytest.raises(InputError, match="AIO_SERVE_UNIX_MODE: expected octal digits from 0 to"):
        read(AIO_SERVE_UNIX_MODE="9999")
    with pytest.raises(SystemExit):
        read("--unix-mode", "9999")
    assert "--unix-mode: expected octal digits from 0 to 0777" in capsys.readouterr().err
    assert ["unix-mode", "0660", "default"] in [
        line.split() for line in settings_text(read()).splitlines()
    ]


def test_services_of_kubernetes_that_are_named_like_options() -> None:
    link = "tcp://10.0.0.1:80"
    args = read(
        AIO_SERVE_PREDICTOR_SERVICE_HOST="10.0.0.1",
        AIO_SERVE_PREDICTOR_PORT=link,
        AIO_SERVE_PREDICTOR_PORT_80_TCP_ADDR="10.0.0.1",
        AIO_SERVE_TOKEN_SERVICE_HOST="10.0.0.1",
        AIO_SERVE_GRPC_PORT=link,
        AIO_SERVE_PORT="8080",
    )
    assert (args.port, args.grpc_port) == (8080, None)
    for name in read().origins:
        variable = "AIO_SERVE_" + name.upper().replace("-", "_")
        assert not is_service_link(variable.removeprefix("AIO_SERVE_"), "1"), variable


def test_the_examples_of_the_documents_are_taken() -> None:
    text = "".join((ROOT / "docs" / name).read_text() for name in ("deployment.md", "serving.md"))
    variables = re.findall(r"`(AIO_SERVE_\w+)=([^`.]+)`", text)
    limits = re.findall(r"`--limit ([^`]+)`", text)
    assert {"AIO_SERVE_LIMIT", "AIO_SERVE_TARGET_MS"} <= {name for name, _ in variables}
    assert limits
    for name, value in variables:
        assert read(**{name: value}).origins, name
    for value in limits:
        assert read("--limit", value).limit, value


@pytest.mark.parametrize("value", ["-1", "nan", "3601", "inf"])
def test_drain_delays_that_are_refused(value: str) -> None:
    with pytest.raises(InputError, match="AIO_SERVE_DRAIN_DELAY: expected 0 to 3600"):
        read(AIO_SERVE_DRAIN_DELAY=value)


def test_settings_are_told_with_their_origin() -> None:
    text = settings_text(read("--limit", "connections=3", "--insecure", AIO_SERVE_PORT="0"))
    rows = [line.split(maxsplit=2) for line in text.splitlines()]
    assert ["limit.connections", "3", "command line"] in rows
    assert ["insecure", "true", "command line"] in rows
    assert ["port", "0", "AIO_SERVE_PORT"] in rows
    assert ["model", "-", "default"] in rows
    assert ["unix-mode", "0660", "default"] in rows
    assert "0600" in settings_text(read("--unix-mode", "600")).split()


def test_check_returns_2_if_anything_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_settings(read("--port", "0")) == 0
    assert check_settings(read("--port", "0", "--target-ms", "5")) == 0
    assert check_settings(read("--port", "0", "--target-ms", "-5")) == 2
    assert check_settings(read("--port", "0", "--host", "0.0.0.0")) == 2
    assert check_settings(read("--port", "0", "--limit", "body_bytes=1GiB")) == 2
    assert check_settings(read("--port", "0", "--allowed-host", "a b")) == 2
    said = capsys.readouterr().out
    assert "FAIL  address: 0.0.0.0 is reachable from other machines" in said
    assert "FAIL  model: target_ms" in said
    assert "FAIL  limits: limit body_bytes is 1073741824, more than buffered_bytes" in said
    assert "FAIL  access: 'a b' is no host name" in said


def test_check_tells_of_too_few_descriptors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 400))
    assert check_settings(read("--port", "0")) == 0
    assert "file descriptors" not in capsys.readouterr().out
    assert check_settings(read("--port", "0", "--grpc-port", "0")) == 0
    said = capsys.readouterr().out
    assert "ok    limits: 0 given, the others are the defaults; limit connections may take" in said
    assert "and the process may have 400: lower limit connections" in said


@pytest.mark.parametrize("host", ["", "a b", "http://localhost"])
def test_a_host_that_is_none_gets_advice_of_its_own(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError) as caught:
        serve.access_policy(read("--host", host))
    assert f"--host {host!r} is no address of this machine; expected one such as" in str(
        caught.value
    )
    assert check_settings(read("--host", host, "--port", "0")) == 2
    assert "example.com" not in capsys.readouterr().out


def test_check_binds_the_port_of_grpc_too(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert check_settings(read("--port", "0", "--grpc-port", str(port))) == 2
        # Both are told at once.
        assert check_settings(read("--port", str(port), "--grpc-port", str(port + 65536))) == 2
    said = capsys.readouterr().out
    assert re.search(rf"FAIL  grpc: gRPC: port {port} .* is in use; .* --grpc-port", said)
    assert f"FAIL  address: port {port} of 127.0.0.1 is in use" in said
    assert "FAIL  grpc: gRPC: port must be 0 to 65535" in said
    assert check_settings(read("--port", "0", "--grpc-port", "0")) == 0
    assert re.search(r"ok +grpc: 127\.0\.0\.1:\d+ can be had", capsys.readouterr().out)


def test_check_looks_at_the_models_that_load_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def checked(*options: str) -> tuple[int, str]:
        code = check_settings(read("--port", "0", "--model-repository", str(tmp_path), *options))
        (line,) = (line for line in capsys.readouterr().out.splitlines() if " model: " in line)
        return code, line

    code, said = checked()
    assert (code, "has no model; add NAME/1/model.aio" in said) == (2, True)
    code, said = checked("--model-control", "explicit")  # models may come later
    assert (code, said.endswith("has no model yet")) == (0, True)
    shutil.copy(SHIPPED_MODEL, tmp_path / "good.aio")
    (tmp_path / "bad.aio").write_bytes(b"xx")
    (tmp_path / "empty").mkdir()
    assert checked()[0] == 2
    code, said = checked("--load-model", "good")
    assert (code, "good.aio: digits, " in said, "bad" in said) == (0, True, False)
    code, said = checked("--load-model", "good", "--load-model", "other")
    assert code == 2
    assert said.endswith(
        f"--load-model other: {tmp_path} has no such model, there is bad, empty, good"
    )
    for name, problem in (("bad", "has 2 bytes"), ("empty", "has no directory 1, 2, ...")):
        code, said = checked("--load-model", name)
        assert (code, problem in said) == (2, True)


def test_one_port_is_not_for_http_and_grpc(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert check_settings(read("--port", str(port), "--grpc-port", str(port))) == 2
    said = capsys.readouterr().out
    assert f"FAIL  address: --port and --grpc-port are both {port}; HTTP and gRPC need" in said


def test_shared_memory_is_for_this_machine(tmp_path: Path) -> None:
    arguments = ("--limit", "regions=4", "--host", "0.0.0.0", "--insecure", "--port", "0")
    with pytest.raises(InputError, match="limit regions: shared memory is for clients on this"):
        next(serve.listen(read(*arguments)))
    (listener,) = serve.listen(read(*arguments, "--no-tcp", "--unix-socket", str(tmp_path / "s")))
    listener.close()
    (listener,) = serve.listen(read("--limit", "regions=4", "--port", "0"))
    listener.close()


def test_no_tcp_is_not_for_grpc(tmp_path: Path) -> None:
    path = tmp_path / "s"
    arguments = ("--no-tcp", "--unix-socket", str(path), "--grpc-port", "0")
    with pytest.raises(InputError, match="take away either --no-tcp or --grpc-port"):
        next(serve.listen(read(*arguments)))
    assert not path.exists()
    assert check_settings(read(*arguments)) == 2


def test_check_refuses_a_file_whose_model_is_named_like_the_statistics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builder = ModelBuilder((1, 2, 2), (0.0, 0.5))
    builder.node("flat", "flatten", ["x"])
    builder.linear("head", "flat", (16, 4))
    path = builder.finish(["head"], name="stats").write(tmp_path / "own.aio")
    assert check_settings(read("--port", "0", str(path))) == 2
    assert "FAIL  model: no model can be named stats" in capsys.readouterr().out
    assert check_settings(read("--port", "0", "--model-repository", str(tmp_path))) == 0


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text())
    return parser


def test_the_unit_starts_the_server_with_a_config() -> None:
    service = unit()["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert program == "/opt/aio/bin/aio-serve"
    assert make_parser().parse_args(arguments).config == Path("/etc/aio/aio-serve.toml")
    assert service["Type"] == "notify"
    assert float(service["WatchdogSec"]) > 2  # the server tells of itself every second
    assert float(service["TimeoutStopSec"]) > Limits().stop_s


def test_the_unit_takes_away_what_the_server_never_needs() -> None:
    service = unit()["Service"]
    for name in (
        "DynamicUser",
        "NoNewPrivileges",
        "PrivateTmp",
        "PrivateUsers",
        "ProtectKernelTunables",
        "ProtectKernelModules",
        "ProtectControlGroups",
        "RestrictNamespaces",
        "RestrictSUIDSGID",
        "LockPersonality",
        "MemoryDenyWriteExecute",
    ):
        assert service[name] == "yes", name
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert service["RestartPreventExitStatus"] == "2"


def test_the_image_sets_only_what_there_is_and_has_no_compiler_in_the_end() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    build, final = re.split(r"^FROM .*$", text, flags=re.MULTILINE)[1:]
    environ = dict(re.findall(r"\b(AIO_SERVE_\w+)=(\S+)", final))
    assert environ
    args = read(**environ)
    assert (args.host, args.log_format) == ("0.0.0.0", "json")
    assert "g++" in build
    installed = re.findall(r"apt-get install --yes --no-install-recommends (.*?) &&", final)
    assert installed == ["libnghttp2-14"]
    assert re.search(r"^USER 10001", final, re.MULTILINE)


def test_the_probe_of_the_image_is_python() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    found = re.search(r"^HEALTHCHECK .*?CMD (\[.*?\])$", text, re.MULTILINE | re.DOTALL)
    assert found
    program, option, code = json.loads(found[1].replace("\\\n", ""))
    assert (program, option) == ("python", "-c")
    compile(code, "probe", "exec")
    assert "/v2/health/ready" in code


def manifest(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def test_the_serving_runtime_starts_the_server_with_options_there_are() -> None:
    runtime = manifest("servingruntime.yaml")
    assert (runtime["apiVersion"], runtime["kind"]) == (
        "serving.kserve.io/v1alpha1",
        "ServingRuntime",
    )
    (container,) = runtime["spec"]["containers"]
    assert container["name"] == "kserve-container"
    environ = {item["name"]: item["value"] for item in container["env"]}
    args = read(*container["args"], **environ)
    assert args.model == Path("/mnt/models/model.aio")
    (port,) = container["ports"]
    assert args.port == port["containerPort"]
    for probe, path in (
        ("startupProbe", "/v2/health/ready"),
        ("readinessProbe", "/v2/health/ready"),
        ("livenessProbe", "/v2/health/live"),
    ):
        assert container[probe]["httpGet"] == {"path": path, "port": args.port}
    mounts = {item["name"]: item["mountPath"] for item in container["volumeMounts"]}
    assert Path(mounts["token"]) in args.token_file.parents
    assert {item["name"] for item in runtime["spec"]["volumes"]} == set(mounts)
    context = container["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["readOnlyRootFilesystem"] is True


def test_the_inference_service_fits_the_runtime() -> None:
    runtime, service = manifest("servingruntime.yaml"), manifest("inferenceservice.yaml")
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    formats = [item["name"] for item in runtime["spec"]["supportedModelFormats"]]
    assert model["modelFormat"]["name"] in formats
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    assert read(**{item["name"]: item["value"] for item in model["env"]}).target_ms == 20
    assert Path(model["storageUri"]).name == "model.aio"
    args = read(*runtime["spec"]["containers"][0]["args"])
    grace_s = service["spec"]["predictor"]["terminationGracePeriodSeconds"]
    assert grace_s > args.drain_delay + Limits().stop_s
