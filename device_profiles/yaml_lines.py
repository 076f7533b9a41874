"""YAML with line numbers: plain data for the models, and the line of every key for the mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarbool import ScalarBoolean
from ruamel.yaml.scalarfloat import ScalarFloat
from ruamel.yaml.scalarint import ScalarInt
from ruamel.yaml.scalarstring import ScalarString


class YamlMistake(Exception):
    """The text is no YAML (or has a key twice)."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem


@dataclass(frozen=True)
class Document:
    """`data` is plain dicts, lists and scalars."""

    data: Any
    _marked: Any

    def line(self, path: Sequence[str | int]) -> int:
        """The line (from 1) of the deepest part of a path that stands in the file.

        Path parts that are not there (a missing key, a model's own name for a variant) are passed over.
        """
        node, line = self._marked, 1
        for part in path:
            if isinstance(node, CommentedMap) and part in node:
                line = node.lc.key(part)[0] + 1
                node = node[part]
            elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
                line = node.lc.item(part)[0] + 1
                node = node[part]
        return line


def read_yaml(text: str) -> Document:
    """Parse YAML 1.2; raises YamlMistake. Anchors and merges work, tags that make objects do not."""
    try:
        marked = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlMistake((mark.line + 1) if mark else 1, _first_line(error.problem or str(error))) from None
    except (YAMLError, ValueError) as error:
        raise YamlMistake(1, _first_line(str(error))) from None
    return Document(_plain(marked), marked)


def _first_line(problem: str) -> str:
    return problem.strip().splitlines()[0] if problem.strip() else "not YAML"


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {_plain(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if isinstance(node, ScalarBoolean):
        return bool(node)
    if isinstance(node, ScalarFloat):
        return float(node)
    if isinstance(node, ScalarInt):
        return int(node)
    return str(node) if isinstance(node, ScalarString) else node
