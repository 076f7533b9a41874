"""YAML with line numbers: plain data for the models, and the line of every key for the mistakes."""

from __future__ import annotations

import re
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

from device_profiles.yaml_source import DEEPEST, line_of_tower
from device_profiles.yaml_words import in_words

LARGEST_TEXT = 10_000_000
MOST_PARTS = 1_000_000
"""Values of one text with every alias written out; a site of 5,000 devices has some 50,000."""
_TOO_DEEP = f"parts nested too deeply, more than {DEEPEST} levels"
_HALF = re.compile("[\ud800-\udfff]")


class YamlMistake(Exception):
    """The text is no YAML (or has a key twice)."""

    def __init__(self, line: int, problem: str, expected: str = "well-formed YAML") -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem
        self.expected = expected


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
    """Parse YAML 1.2; raises YamlMistake. Anchors and merges work, tags that make objects do not.

    What a few lines of aliases or brackets could blow up is refused before it fills the memory.
    """
    if len(text) > LARGEST_TEXT:
        raise YamlMistake(1, f"{len(text)} characters, more than {LARGEST_TEXT}")
    if line := line_of_tower(text):
        raise YamlMistake(line, _TOO_DEEP)
    try:
        marked = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if words := in_words(error.problem or "", error.context):
            mark = error.context_mark if "quote" in words[0] else mark  # where it was opened
            raise YamlMistake((mark.line + 1) if mark else 1, *words) from None
        raise YamlMistake((mark.line + 1) if mark else 1, _first_line(error.problem or str(error))) from None
    except RecursionError:
        raise YamlMistake(1, _TOO_DEEP) from None
    except (YAMLError, ValueError) as error:
        raise YamlMistake(1, _first_line(str(error))) from None
    return Document(_Plain().of(marked, 0, 1), marked)


def _first_line(problem: str) -> str:
    return problem.strip().splitlines()[0] if problem.strip() else "not YAML"


class _Plain:
    """Turns ruamel's nodes into plain data, and counts: an alias is written out wherever it stands."""

    def __init__(self) -> None:
        self._parts = 0

    def of(self, node: Any, depth: int, line: int) -> Any:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise YamlMistake(line, f"more than {MOST_PARTS} parts, aliases written out")
        if depth > DEEPEST:
            raise YamlMistake(line, _TOO_DEEP)
        if isinstance(node, CommentedMap):
            return {self._key(key, line): self.of(node[key], depth + 1, _line(node, key, line)) for key in node}
        if isinstance(node, list):
            return [self.of(item, depth + 1, _line(node, index, line)) for index, item in enumerate(node)]
        return self._scalar(node, line)

    def _key(self, key: Any, line: int) -> Any:
        if isinstance(key, Mapping | list | tuple):
            raise YamlMistake(line, "a key that is no single value")
        return self._scalar(key, line)

    def _scalar(self, node: Any, line: int) -> Any:
        if isinstance(node, ScalarBoolean):
            return bool(node)
        if isinstance(node, ScalarFloat):
            return float(node)
        if isinstance(node, ScalarInt):
            return int(node)
        if isinstance(node, str) and _HALF.search(node):
            raise YamlMistake(line, "half a character (a lone surrogate such as \\ud800)")
        return str(node) if isinstance(node, ScalarString) else node


def _line(node: Any, part: Any, around: int) -> int:
    """The line of a part; what came in by an alias or a merge has the line of what is around it."""
    known = (node.lc.data or {}).get(part) if hasattr(node, "lc") else None
    return known[0] + 1 if known else around
