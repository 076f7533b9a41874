"""Reading one YAML file safely: plain data, the line of every part of it, and a cap on everything."""

from __future__ import annotations

import re
from pathlib import Path
from stat import S_ISREG
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode
from ruamel.yaml.reader import ReaderError

from device_profiles.mistakes import Mistake, shown
from device_profiles.yaml_quick import quick_data
from device_profiles.yaml_words import in_words

LARGEST_FILE = 1_000_000
MOST_PARTS = 50_000
"""Values of one file with every alias written out."""
DEEPEST = 30
_MOST_BRACKETS = 200
_MOST_MERGES = 500
_MOST_MERGED = 20_000
_MERGE = "tag:yaml.org,2002:merge"
_MOST_BITS = 64

Step = str | int


class Unreadable(Exception):
    """The file is no YAML that is taken; `mistake` says why."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(str(mistake))
        self.mistake = mistake


class Document:
    """A YAML file: `data` as plain dicts, lists and scalars, and the line of each part.

    Parts can be left out (`leave_out`); lines of what remains stay right.
    """

    def __init__(self, file: Path, source: Any, data: Any) -> None:
        """`source`: ruamel's marked data, or the text to get it from when a line is asked for."""
        self.file = file
        self.data = data
        self._marked = source
        self._kept: dict[int, list[int]] = {}
        self._put: set[tuple[int, Step]] = set()

    @property
    def _source(self) -> Any:
        if isinstance(self._marked, str):
            self._marked = YAML(typ="rt").load(self._marked)
        return self._marked

    def line(self, *path: Step) -> int:
        """The line (from 1) of the part at this path, or of the nearest part around it that exists."""
        node, plain, line = self._source, self.data, 1
        for step in path:
            original = self._original(plain, step)
            found = _position(node, original)
            if found is None:
                break
            line = found
            node = node[original]
            plain = plain[step] if _has(plain, step) else None
        return line

    def at(self, *path: Step) -> Any:
        """The plain value at this path, or None."""
        node = self.data
        for step in path:
            if not _has(node, step):
                return None
            node = node[step]
        return node

    def put(self, value: Any, *path: Step) -> None:
        """Stand something in for a part, which need not have been there."""
        parent = self.at(*path[:-1])
        if isinstance(parent, dict) or _has(parent, path[-1]):
            parent[path[-1]] = value
            self._put.add((id(parent), path[-1]))

    def stands_in(self, *path: Step) -> bool:
        """Whether this part, or one around it, was put there (`put`) for one that was mistaken."""
        node = self.data
        for step in path:
            if (id(node), step) in self._put:
                return True
            if not _has(node, step):
                return False
            node = node[step]
        return False

    def leave_out(self, *path: Step) -> bool:
        """Drop a part; False when it is not there."""
        parent, last = self.at(*path[:-1]), path[-1]
        if not _has(parent, last):
            return False
        if isinstance(parent, list):
            assert isinstance(last, int)
            self._indices(parent).pop(last)
        del parent[last]
        return True

    def _original(self, plain: Any, step: Step) -> Step:
        if isinstance(plain, list) and isinstance(step, int) and id(plain) in self._kept:
            kept = self._kept[id(plain)]
            return kept[step] if 0 <= step < len(kept) else step
        return step

    def _indices(self, items: list[Any]) -> list[int]:
        return self._kept.setdefault(id(items), list(range(len(items))))


def _has(node: Any, step: Step) -> bool:
    if isinstance(node, dict):
        return step in node
    return isinstance(node, list) and isinstance(step, int) and 0 <= step < len(node)


def _position(node: Any, step: Step) -> int | None:
    if not isinstance(node, CommentedMap | CommentedSeq):
        return None
    there = step in node if isinstance(node, CommentedMap) else isinstance(step, int) and 0 <= step < len(node)
    if not there:
        return None
    known = node.lc.data or {}
    # A key that came in by a merge (<<) and an alias have no line of their own.
    return int(known[step][0] if step in known else node.lc.line) + 1


def read(file: Path) -> Document:
    """Read and parse; raises Unreadable."""
    try:
        found = file.stat()
        if not S_ISREG(found.st_mode):
            raise Unreadable(Mistake(file, 1, "file", "a folder or a device", "an ordinary file"))
        size = found.st_size
        if size > LARGEST_FILE:
            raise Unreadable(Mistake(file, 1, "file", f"{size} bytes", f"at most {LARGEST_FILE}"))
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(Mistake(file, 1, "file", f"bytes that are no UTF-8 at {error.start}", "UTF-8 text")) from None
    except OSError as error:
        raise Unreadable(Mistake(file, 1, "file", error.strerror or str(error), "a readable file")) from None
    _check_brackets(file, text)
    _check_size(file, text)
    data = quick_data(text, most_parts=MOST_PARTS, deepest=DEEPEST)
    return parse(file, text) if data is None else Document(file, text, data)


def parse(file: Path, text: str) -> Document:
    """Parse YAML 1.2; raises Unreadable."""
    _check_brackets(file, text)
    _check_size(file, text)
    try:
        if "<<" in text:
            _Merges(file).check(YAML(typ="rt").compose(text))
        source = YAML(typ="rt").load(text)
        return Document(file, source, _Plain(file).of(source, 0, 1))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        words = in_words(error.problem or "", error.context) or _syntax(error.problem or error.context or "other text")
        if "quote" in words[0] and error.context_mark:
            line = error.context_mark.line + 1  # where it was opened; the parser notices at the end of the file
        raise Unreadable(Mistake(file, line, "YAML", *words)) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else 1
        raise Unreadable(
            Mistake(file, line, "YAML", f"the character U+{error.character:04X}", "printable text")
        ) from None
    except RecursionError:
        raise Unreadable(Mistake(file, 1, "YAML", "parts nested too deeply", f"at most {DEEPEST} levels")) from None
    except (YAMLError, ValueError) as error:
        problem = str(error).splitlines()[0]
        raise Unreadable(Mistake(file, 1, "YAML", problem, "well-formed YAML")) from None


def _check_brackets(file: Path, text: str) -> None:
    if line := line_of_tower(text):
        raise Unreadable(Mistake(file, line, "YAML", "parts nested too deeply", f"at most {DEEPEST} levels"))


def _check_size(file: Path, text: str) -> None:
    """Every value has a comma or a line of its own, and the parser is slow: too many are refused before it begins."""
    parts = text.count(",") + text.count("\n")
    if parts > MOST_PARTS:
        raise Unreadable(Mistake(file, 1, "YAML", f"some {parts} parts", f"at most {MOST_PARTS}"))


def line_of_tower(text: str) -> int | None:
    """Where brackets are piled so high that the parser must not begin to climb them."""
    depth = 0
    for found in re.finditer(r"[\[\]{}]", text):
        depth += 1 if found[0] in "[{" else -1
        if depth > _MOST_BRACKETS:
            return text.count("\n", 0, found.start()) + 1
    return None


def _syntax(problem: str) -> tuple[str, str]:
    """What was found and what was expected, from the parser's words."""
    text = problem.strip().splitlines()[0]
    for between in (", but found ", ", but got "):
        expected, cut, found = text.partition(between)
        if cut:
            return found, expected.removeprefix("expected ")
    return text.removeprefix("but ").removeprefix("found "), "well-formed YAML"


class _Merges:
    """Refuses merges (<<) that the parser would take minutes and gigabytes to write out, before it begins."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._keys: dict[int, int] = {}
        """Keys of each part, with those that are merged into it."""
        self._open: set[int] = set()
        self._merges = 0
        self._merged = 0

    def check(self, node: Node | None) -> int:
        """How many keys this part has, 0 for what is no mapping. Raises Unreadable."""
        if not isinstance(node, MappingNode | SequenceNode):
            return 0
        if id(node) in self._open:
            self._refuse(node, "a part that is merged into itself", "other parts only")
        if id(node) not in self._keys:
            self._open.add(id(node))
            self._keys[id(node)] = self._count(node)
            self._open.remove(id(node))
        return self._keys[id(node)]

    def _count(self, node: MappingNode | SequenceNode) -> int:
        if isinstance(node, SequenceNode):
            for part in node.value:
                self.check(part)
            return 0
        keys = 0
        for key, value in node.value:
            self.check(key)
            self.check(value)
            keys += self._merge(value) if key.tag == _MERGE else 1
        return keys

    def _merge(self, value: Node) -> int:
        parts = value.value if isinstance(value, SequenceNode) else [value]
        keys = sum(self.check(part) for part in parts)
        self._merges += len(parts)
        self._merged += keys
        if self._merges > _MOST_MERGES or self._merged > _MOST_MERGED:
            found = f"merges (<<) of {self._merges} parts with {self._merged} keys"
            self._refuse(value, found, f"at most {_MOST_MERGES} with {_MOST_MERGED}")
        return keys

    def _refuse(self, node: Node, found: str, expected: str) -> None:
        raise Unreadable(Mistake(self._file, node.start_mark.line + 1, "YAML", found, expected))


class _Plain:
    """Turns ruamel's nodes into plain data. Each alias becomes a copy, so that parts can be left out one by one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._parts = 0

    def of(self, node: Any, depth: int, line: int) -> Any:
        self._parts += 1
        if self._parts > MOST_PARTS:
            self._refuse(line, f"more than {MOST_PARTS} parts, aliases written out", "a smaller file")
        if depth > DEEPEST:
            self._refuse(line, "parts nested too deeply", f"at most {DEEPEST} levels")
        if isinstance(node, CommentedMap | CommentedSeq) and node.tag.value is not None:
            self._refuse(line, f"the tag {node.tag.value}", "plain YAML without tags")
        if isinstance(node, CommentedMap):
            lines = {key: _position(node, key) or line for key in node}
            return {self._key(key, lines[key]): self.of(node[key], depth + 1, lines[key]) for key in node}
        if isinstance(node, CommentedSeq):
            return [self.of(item, depth + 1, _position(node, i) or line) for i, item in enumerate(node)]
        return self._scalar(node, line)

    def _key(self, key: Any, line: int) -> str:
        if not isinstance(key, str):
            self._refuse(line, f"the key {shown(self._scalar(key, line))}", 'a text as key; write "…" around it')
        return str(key)

    def _scalar(self, node: Any, line: int) -> Any:
        if isinstance(node, TaggedScalar):
            self._refuse(line, f"the tag {node.tag.value}", "plain YAML without tags")
        if node is None or isinstance(node, bool):
            return node
        if isinstance(node, int) and node.bit_length() > _MOST_BITS:
            self._refuse(line, f"a whole number of {node.bit_length()} bits", f"at most {_MOST_BITS}")
        for kind in (int, float, str):
            if isinstance(node, kind):
                # ruamel's booleans with an anchor are numbers that remember being one.
                return bool(node) if type(node).__name__ == "ScalarBoolean" else kind(node)
        return self._refuse(line, f"a value of type {type(node).__name__}", "a text, a number, true or false")

    def _refuse(self, line: int, found: str, expected: str) -> Any:
        raise Unreadable(Mistake(self._file, line, "YAML", found, expected))
