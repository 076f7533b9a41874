"""The plain data of an ordinary YAML file, some twenty times as fast as the reader that knows every line.

A library of profiles is read at each start. libyaml takes it apart; whatever is not ordinary (tags, keys twice or
that are no texts, odd numbers, many levels, any mistake) gives `None`, and the careful reader is asked, which also
says what is wrong and where.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError as RuamelError
from yaml import YAMLError
from yaml.cyaml import CParser
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_TAG = re.compile(r"(?:^|[\s,\[{])(?:(?<!\w )!|!(?!=))", re.MULTILINE)
"""A word that begins with an exclamation mark, but for the `!=` of a condition."""
_DISPUTED = re.compile(
    r"\t|(?:^|\s)[|>][-+0-9]*\s*#|&[\w-]+ +!|(?:^|[\s,\[{])[&*](?![\w-]+(?:[\s,\]}]|$)| )", re.MULTILINE
)
"""Tabs, comments at a block's header, names of anchors and aliases: where libyaml takes what YAML does not allow."""
_MANY_LEVELS = re.compile(r"^ {120}|(?:[-?] +){12}", re.MULTILINE)
"""Levels that libyaml would climb on the machine's own stack."""
_WORD = re.compile(r"(?:[^\W\d]|[{$@/°])[^\n]*")
_DURATION = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:ms|[smhd])")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,17}")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "~": None, "": None}
_ODD_WORDS = frozenset({"True", "TRUE", "False", "FALSE", "Null", "NULL"})


class _Unordinary(Exception):
    pass


def quick_data(text: str, *, most_parts: int, deepest: int) -> Any | None:
    """The data of an ordinary file; None for one that wants the careful reader."""
    if (
        text.lstrip("\ufeff").startswith("%")
        or _TAG.search(text)
        or _MANY_LEVELS.search(text)
        or _DISPUTED.search(text)
    ):
        return None
    try:
        return _Plain(most_parts, deepest).of(_composed(text), 0)
    except (_Unordinary, YAMLError, ValueError, RecursionError):
        return None


def _composed(text: str) -> Node:
    loader = _Loader(text)
    try:
        node: Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    if node is None:
        raise _Unordinary
    return node


class _Loader(CParser):  # type: ignore[misc]
    """libyaml's parser without YAML 1.1's ideas of what is a number or a boolean: it asks for the tag of each node and
    is told none."""

    def resolve(self, *_node: object) -> str:
        return ""

    def descend_resolver(self, *_node: object) -> None:
        pass

    def ascend_resolver(self) -> None:
        pass


class _Plain:
    """Nodes as plain data; an alias is written out wherever it stands, and counted."""

    def __init__(self, most_parts: int, deepest: int) -> None:
        self._left = most_parts
        self._deepest = deepest

    def of(self, node: Node, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > self._deepest:
            raise _Unordinary
        if isinstance(node, ScalarNode):
            return _plain_scalar(node.value) if not node.style else node.value
        if isinstance(node, SequenceNode):
            return [self.of(item, depth + 1) for item in node.value]
        assert isinstance(node, MappingNode)
        out: dict[str, Any] = {}
        merged: list[Node] = []
        for key_node, value in node.value:
            if not isinstance(key_node, ScalarNode):
                raise _Unordinary
            if key_node.value == "<<" and not key_node.style:
                merged += value.value if isinstance(value, SequenceNode) else [value]
                continue
            key = key_node.value if key_node.style else _plain_scalar(key_node.value)
            if type(key) is not str or key in out:
                raise _Unordinary
            out[key] = self.of(value, depth + 1)
        for other in merged:
            self._merge(out, other, depth)
        return out

    def _merge(self, out: dict[str, Any], other: Node, depth: int) -> None:
        """Keys of another part, where they are not there yet."""
        if not isinstance(other, MappingNode):
            raise _Unordinary
        for key, value in self.of(other, depth).items():
            out.setdefault(key, value)


def _plain_scalar(text: str) -> Any:
    """What stands without quotes, by YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if _DURATION.fullmatch(text) or (_WORD.fullmatch(text) and text not in _ODD_WORDS):
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return _rare(text)


@lru_cache(maxsize=10_000)
def _rare(text: str) -> Any:
    """`1e3`, `+40`, `.5`, `0x1f`: as the careful reader takes it."""
    try:
        found = YAML(typ="safe", pure=True).load(f"- {text}\n")
    except RuamelError as error:
        raise _Unordinary from error
    if isinstance(found, list) and found and isinstance(found[0], int) and found[0].bit_length() > 63:
        raise _Unordinary
    if not isinstance(found, list) or len(found) != 1 or type(found[0]) not in (int, float, str, bool):
        raise _Unordinary
    return found[0]
