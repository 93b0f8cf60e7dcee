# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]
from tritonclient.grpc import (  # type: ignore[import-untyped]
    model_config_pb2,
    service_pb2,
)

from aio.runtime.serve import rpc
from aio.runtime.serve.rpc.messages import FILES
from aio.runtime.serve.rpc.proto_file import read_proto

TEXTS = {name: (resources.files(rpc) / name).read_text("utf-8") for name in FILES}


@pytest.mark.parametrize("name", FILES)
def test_the_files_read_as_protoc_reads_them(tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    source.write_text(TEXTS[name])
    found = tmp_path / "found"
    options = (f"-I{tmp_path}", f"--descriptor_set_out={found}", str(source))
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options], check=True, timeout=60)
    (expected,) = FileDescriptorSet.FromString(found.read_bytes()).file
    for method in expected.service[0].method:
        method.ClearField("options")  # protoc notes that there are none
    assert read_proto(name, TEXTS[name]) == expected


PUBLIC = {"inference.proto": (service_pb2, model_config_pb2), "health.proto": (health_pb2,)}


@pytest.mark.parametrize(("name", "least"), [("inference.proto", 210), ("health.proto", 6)])
def test_every_message_and_field_is_that_of_the_public_protocol(name: str, least: int) -> None:
    public: dict[str, object] = {}
    for module in PUBLIC[name]:
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        public.update(described(file))
    mine = described(read_proto(name, TEXTS[name]))
    assert len(mine) >= least
    assert {known: public.get(known) for known in mine} == mine


def described(file: Any) -> dict[str, object]:
    """Return everything that decides about bytes and paths, by full names."""
    found: dict[str, object] = {}

    def note(scope: str, message: Any) -> None:
        here = f"{scope}.{message.name}"
        for field in message.field:
            oneof = message.oneof_decl[field.oneof_index].name if is_choice(field) else ""
            what = (field.number, field.type, field.label, field.type_name, oneof)
            found[f"{here}.{field.name}"] = what
        for enum in message.enum_type:
            found.update({f"{here}.{value.name}": value.number for value in enum.value})
        for nested in message.nested_type:
            found[f"{here}.{nested.name}"] = nested.options.map_entry
            note(here, nested)

    for message in file.message_type:
        note(f".{file.package}", message)
    for enum in file.enum_type:
        found.update({f"{enum.name}.{value.name}": value.number for value in enum.value})
    for service in file.service:
        for method in service.method:
            streams = (method.client_streaming, method.server_streaming)
            path = f"/{file.package}.{service.name}/{method.name}"
            found[path] = (method.input_type, method.output_type, streams)
    return found


def is_choice(field: Any) -> bool:
    return bool(field.HasField("oneof_index"))


@pytest.mark.parametrize(
    "text",
    [
        "message",
        "message A { string a = 1 }",
        "message A { B b = 1; }",
        "service S { option x = 1; }",
        "import 'x';",
        "option a = 1;",
    ],
)
def test_what_is_not_understood_is_an_error(text: str) -> None:
    with pytest.raises(SyntaxError, match=r"x\.proto"):
        read_proto("x.proto", text)
