"""Sparkplug B payloads as protobuf messages, built from the field numbers of its specification (3.0, chapter 6.4).

What nests without end (properties, data sets, templates) stays bytes in a metric and is read on demand, within bounds.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE: Final = "courtyard.sparkplug"
_TYPES: Final = {
    "u32": descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
    "u64": descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
    "f32": descriptor_pb2.FieldDescriptorProto.TYPE_FLOAT,
    "f64": descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "text": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
}
_VALUE: Final = "value"
"""The oneof that holds a value."""
# message -> field -> (number, type); `*` after a type: repeated; `|` before it: part of the oneof
_MESSAGES: Final[dict[str, dict[str, tuple[int, str]]]] = {
    "Metric": {
        "name": (1, "text"),
        "alias": (2, "u64"),
        "timestamp": (3, "u64"),
        "datatype": (4, "u32"),
        "is_historical": (5, "bool"),
        "is_null": (7, "bool"),
        "properties": (9, "bytes"),
        "int_value": (10, "|u32"),
        "long_value": (11, "|u64"),
        "float_value": (12, "|f32"),
        "double_value": (13, "|f64"),
        "boolean_value": (14, "|bool"),
        "string_value": (15, "|text"),
        "bytes_value": (16, "|bytes"),
        "dataset_value": (17, "|bytes"),
        "template_value": (18, "|bytes"),
    },
    "Payload": {"timestamp": (1, "u64"), "metrics": (2, "Metric*"), "seq": (3, "u64")},
    "Template": {"metrics": (2, "Metric*")},
    "Cell": {
        "int_value": (1, "|u32"),
        "long_value": (2, "|u64"),
        "float_value": (3, "|f32"),
        "double_value": (4, "|f64"),
        "boolean_value": (5, "|bool"),
        "string_value": (6, "|text"),
    },
    "Row": {"elements": (1, "Cell*")},
    "DataSet": {"columns": (2, "text*"), "types": (3, "u32*"), "rows": (4, "Row*")},
    "Property": {
        "type": (1, "u32"),
        "is_null": (2, "bool"),
        "int_value": (3, "|u32"),
        "long_value": (4, "|u64"),
        "float_value": (5, "|f32"),
        "double_value": (6, "|f64"),
        "boolean_value": (7, "|bool"),
        "string_value": (8, "|text"),
    },
    "Properties": {"keys": (1, "text*"), "values": (2, "Property*")},
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="courtyard/sparkplug.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if any(kind.startswith("|") for _, kind in fields.values()):
            message.oneof_decl.add(name=_VALUE)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    return file


def _add_field(message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: str) -> None:
    field = message.field.add(name=name, number=number)
    repeated = kind.endswith("*")
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    bare = kind.strip("|*")
    if bare in _TYPES:
        field.type = _TYPES[bare]
    else:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{bare}"
    if kind.startswith("|"):
        field.oneof_index = 0


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_file().SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_BUILT: Final = _classes()
# Generated at run time, so there are no types to give them.
Payload: Final[Any] = _BUILT["Payload"]
Metric: Final[Any] = _BUILT["Metric"]
Template: Final[Any] = _BUILT["Template"]
DataSet: Final[Any] = _BUILT["DataSet"]
Properties: Final[Any] = _BUILT["Properties"]
