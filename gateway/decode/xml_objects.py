"""XML as objects: the codec xml.

The root element is the one key of the result, so that documents can be told apart by it. Namespaces are stripped.
An element with nothing but text becomes the text; with attributes or children an object, in which attributes stand as
"@name" and text as "#text". Elements of one name beside each other become an array.

A document type is refused, and with it every entity that could grow or reach out; so is what nests too deep or holds
too much.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.sax import SAXException
from xml.sax.handler import ContentHandler

from defusedxml.common import DefusedXmlException
from defusedxml.expatreader import DefusedExpatParser

from device_profiles.schema.layouts import Xml
from gateway.decode.errors import DecodeError, shown

LONGEST_XML = 1 << 18
MOST_TAGS = 8192
"""Opening and closing tags of a document."""
MOST_ATTRIBUTES = 4096
DEEPEST = 32

_DECLARED = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_ENCODINGS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "iso-8859-1": "iso-8859-1",
    "windows-1252": "windows-1252",
    "utf-16": "utf-16",
}


def xml_reader(layout: Xml) -> Callable[[Any], Any]:
    """A closure from XML in bytes or text to objects."""
    lists = frozenset(layout.lists)

    def read(raw: Any) -> Any:
        text = _text(raw)
        _check_length(text)  # before it is stripped: that takes its time on a text of nothing but blanks
        text = text.strip("\0\ufeff \t\r\n")
        _weigh(text)
        builder = _Builder(lists)
        # Names are not resolved to namespaces: a long one would be copied for every element.
        parser = DefusedExpatParser(forbid_dtd=True, forbid_entities=True, forbid_external=True)
        parser.setContentHandler(builder)
        try:
            parser.feed(text)
            parser.close()
        except DefusedXmlException:
            raise DecodeError("malformed", found="XML with a document type", expected="XML without one") from None
        except SAXException as error:
            raise DecodeError("malformed", found=f"{shown(text)}: {error.getMessage()}", expected="XML") from None
        except UnicodeEncodeError:
            raise DecodeError("malformed", found=shown(text), expected="XML of whole characters") from None
        return builder.root

    return read


def _check_length(text: str) -> None:
    if len(text) > LONGEST_XML:
        raise DecodeError("too_large", found=f"XML of {len(text)} characters", expected=f"at most {LONGEST_XML}")


def _weigh(text: str) -> None:
    if not text:
        raise DecodeError("malformed", found="an empty payload", expected="XML")
    tags, attributes = text.count("<"), text.count("=")
    if tags > MOST_TAGS or attributes > MOST_ATTRIBUTES:
        raise DecodeError(
            "too_many",
            found=f"XML with {tags} tags and {attributes} attributes",
            expected=f"at most {MOST_TAGS} and {MOST_ATTRIBUTES}",
        )


def _text(raw: Any) -> str:
    """The text as its own first line says that it is encoded."""
    if isinstance(raw, str):
        return raw
    if not isinstance(raw, bytes):
        raise DecodeError("wrong_type", found=shown(raw), expected="a text that holds XML")
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else _declared(raw)
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        raise DecodeError("malformed", found=shown(raw), expected=f"text in {encoding}") from None


def _declared(raw: bytes) -> str:
    found = _DECLARED.search(raw, 0, 200)
    if found is None:
        return "utf-8"
    name = found[1].decode().lower()
    if name not in _ENCODINGS:
        raise DecodeError("malformed", found=f"XML in {shown(name)}", expected="one of " + ", ".join(_ENCODINGS))
    # UTF-16 would not have been read as far as here.
    return "utf-8" if name == "utf-16" else _ENCODINGS[name]


class _Builder(ContentHandler):
    """What the parser hands its finds to. `root` is complete when the parser has closed."""

    def __init__(self, lists: frozenset[str]) -> None:
        super().__init__()
        self.root: dict[str, Any] = {}
        self._lists = lists
        self._open: list[tuple[str, dict[str, Any], list[str]]] = []

    def startElement(self, name: str, attrs: Any) -> None:
        if len(self._open) >= DEEPEST:
            raise DecodeError("malformed", found=f"XML deeper than {DEEPEST} levels", expected="a flatter document")
        inner: dict[str, Any] = {
            f"@{_local(key)}": value for key, value in attrs.items() if key != "xmlns" and not key.startswith("xmlns:")
        }
        self._open.append((_local(name), inner, []))

    def characters(self, content: str) -> None:
        self._open[-1][2].append(content)

    def endElement(self, _: str) -> None:
        name, inner, pieces = self._open.pop()
        text = "".join(pieces).strip()
        if inner and text:
            inner["#text"] = text
        self._add(self._open[-1][1] if self._open else self.root, name, inner or text)

    def _add(self, parent: dict[str, Any], name: str, value: Any) -> None:
        if name not in parent:
            parent[name] = [value] if name in self._lists else value
        elif type(parent[name]) is list:
            parent[name].append(value)
        else:
            parent[name] = [parent[name], value]


def _local(name: str) -> str:
    return name.rpartition(":")[2]
