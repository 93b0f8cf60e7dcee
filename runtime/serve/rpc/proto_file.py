# SPDX-License-Identifier: Apache-2.0
"""Read a .proto file into a descriptor, so that no code has to be generated.

Code generated for protobuf 6 is refused by some other major versions, and generating needs a
compiler that devices should not have to install. The reader knows what the files here use:
proto3 messages, enumerations, oneofs, maps and services. A test compares it with protoc.
"""

import re
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto

_TOKEN = re.compile(r'"[^"]*"|[A-Za-z_][\w.]*|\d+|[{}<>()=;,]|//[^\n]*|(?P<wrong>\S)')
_SCALARS = {
    "double": 1,
    "float": 2,
    "int64": 3,
    "uint64": 4,
    "int32": 5,
    "bool": 8,
    "string": 9,
    "bytes": 12,
    "uint32": 13,
}
_MESSAGE, _ENUM = 11, 14
_OPTIONAL, _REPEATED = 1, 3


def read_proto(name: str, text: str) -> Any:
    """Return the FileDescriptorProto of a .proto file's text.

    Raises:
        SyntaxError: the text uses something this reader does not know.
    """
    return _Reader(name, text).file()


class _Reader:
    """One pass over the tokens; names of types are resolved when all of them are known."""

    def __init__(self, name: str, text: str) -> None:
        self._tokens: list[str] = []
        for match in _TOKEN.finditer(text):
            if match["wrong"]:
                raise SyntaxError(f"{name}: {match['wrong']!r} is not understood")
            if not match[0].startswith("//"):
                self._tokens.append(match[0])
        self._tokens.reverse()
        self._file = FileDescriptorProto(name=name)
        self._kinds: dict[str, int] = {}
        self._named: list[tuple[str, str, Any]] = []  # scope, type as written, field

    def file(self) -> Any:
        while self._tokens:
            word = self._next()
            if word == "syntax":
                self._expect("=")
                self._file.syntax = self._next().strip('"')
                self._expect(";")
            elif word == "package":
                self._file.package = self._next()
                self._expect(";")
            elif word == "message":
                self._message(self._file.message_type.add(), f".{self._file.package}")
            elif word == "enum":
                self._enum(self._file.enum_type.add(), f".{self._file.package}")
            elif word == "service":
                self._service(self._file.service.add())
            else:
                raise self._wrong(word)
        for scope, written, field in self._named:
            field.type_name = self._resolve(scope, written)
            field.type = self._kinds[field.type_name]
        return self._file

    def _message(self, message: Any, scope: str) -> None:
        message.name = self._next()
        here = f"{scope}.{message.name}"
        self._kinds[here] = _MESSAGE
        self._expect("{")
        while (word := self._next()) != "}":
            if word == "message":
                self._message(message.nested_type.add(), here)
            elif word == "enum":
                self._enum(message.enum_type.add(), here)
            elif word == "oneof":
                index = len(message.oneof_decl)
                message.oneof_decl.add().name = self._next()
                self._expect("{")
                while (kind := self._next()) != "}":
                    self._field(message.field, kind, here).oneof_index = index
            elif word == "map":
                self._map(message, here)
            elif word == "repeated":
                self._field(message.field, self._next(), here).label = _REPEATED
            else:
                self._field(message.field, word, here)

    def _field(self, fields: Any, kind: str, scope: str) -> Any:
        field = fields.add(label=_OPTIONAL, name=self._next())
        self._expect("=")
        field.number = int(self._next())
        self._expect(";")
        self._set_type(field, kind, scope)
        # protoc fills it in, and the default is right for all names here.
        head, *others = field.name.split("_")
        field.json_name = head + "".join(part.capitalize() for part in others)
        return field

    def _set_type(self, field: Any, kind: str, scope: str) -> None:
        if kind in _SCALARS:
            field.type = _SCALARS[kind]
        else:
            self._named.append((scope, kind, field))

    def _map(self, message: Any, scope: str) -> None:
        """A map is a repeated message of a key and a value, made on the way."""
        self._expect("<")
        key = self._next()
        self._expect(",")
        value = self._next()
        self._expect(">")
        name = "".join(part.capitalize() for part in self._tokens[-1].split("_")) + "Entry"
        entry = message.nested_type.add(name=name)
        entry.options.map_entry = True
        self._kinds[f"{scope}.{name}"] = _MESSAGE
        for number, (word, kind) in enumerate((("key", key), ("value", value)), start=1):
            field = entry.field.add(label=_OPTIONAL, name=word, number=number, json_name=word)
            self._set_type(field, kind, scope)
        self._field(message.field, name, scope).label = _REPEATED

    def _enum(self, enum: Any, scope: str) -> None:
        enum.name = self._next()
        self._kinds[f"{scope}.{enum.name}"] = _ENUM
        self._expect("{")
        while (name := self._next()) != "}":
            self._expect("=")
            enum.value.add(name=name, number=int(self._next()))
            self._expect(";")

    def _service(self, service: Any) -> None:
        service.name = self._next()
        self._expect("{")
        while (word := self._next()) != "}":
            if word != "rpc":
                raise self._wrong(word)
            method = service.method.add(name=self._next())
            method.input_type, client_streams = self._in_parentheses()
            self._expect("returns")
            method.output_type, server_streams = self._in_parentheses()
            self._expect(";")
            if client_streams:
                method.client_streaming = True
            if server_streams:
                method.server_streaming = True

    def _in_parentheses(self) -> tuple[str, bool]:
        self._expect("(")
        word = self._next()
        stream = word == "stream"
        name = self._next() if stream else word
        self._expect(")")
        return f".{self._file.package}.{name}", stream

    def _resolve(self, scope: str, written: str) -> str:
        """Return the full name of a type, looking outwards from where it is used."""
        while scope:
            if f"{scope}.{written}" in self._kinds:
                return f"{scope}.{written}"
            scope = scope.rpartition(".")[0]
        raise SyntaxError(f"{self._file.name}: no type is named {written!r}")

    def _next(self) -> str:
        if not self._tokens:
            raise SyntaxError(f"{self._file.name} ends in the middle of a declaration")
        return self._tokens.pop()

    def _expect(self, word: str) -> None:
        found = self._next()
        if found != word:
            raise SyntaxError(f"{self._file.name}: {word!r} expected, found {found!r}")

    def _wrong(self, word: str) -> SyntaxError:
        return SyntaxError(f"{self._file.name}: {word!r} is not understood here")
