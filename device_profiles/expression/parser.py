"""Tokens -> checked tree."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from device_profiles import units
from device_profiles.expression.node import Node, described, mentioned
from device_profiles.expression.tokens import Token, shown, tokens_of
from device_profiles.expression.typed import (
    folded,
    in_unit,
    kind_of,
    make_node,
    product_type,
    same_unit,
    state_word,
    wider,
)
from device_profiles.expression.vocabulary import (
    BOOLEAN,
    DEEPEST,
    FUNCTIONS,
    GROUPED,
    LONGEST_WINDOW,
    RATIO,
    SECONDS,
    SHORTEST_WINDOW,
    TEXT,
    WINDOWED,
    WORDS,
    ExpressionError,
    Names,
    Type,
)
from device_profiles.mistakes import nearest
from device_profiles.schema import Scalar


class Window(NamedTuple):
    """What must be watched for one function that looks back; its result is a value under `key`."""

    key: str
    """As it reads: "delta(level, 10m)"."""
    function: str
    name: str
    """The metric or state that is watched, or the event that is counted; "" for a counted condition."""
    condition: Node | None
    seconds: float


class Group(NamedTuple):
    """How many members hold; its result is a value under `key`."""

    key: str
    """As it reads: "number(port, port_state == fault)"."""
    function: str
    kind: str
    condition: Node
    windows: tuple[Window, ...] = ()
    """What must be watched of each member."""


class Parser:
    """Recursive descent; `depth` counts nested parentheses and signs so that no text can exhaust the stack."""

    def __init__(self, text: str, names: Names) -> None:
        self._text = text
        self._tokens = tokens_of(text, names)
        self._at = 0
        self._names = names
        self._within = ""
        """The function whose condition is read: one that counts times may look neither back nor at ages, and none may
        count members."""
        self.windows: dict[str, Window] = {}
        """By their keys, in the order in which they stand."""
        self.groups: dict[str, Group] = {}

    def peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _take(self, *texts: str) -> Token | None:
        token = self.peek()
        if token.text in texts and token.kind in ("sign", "name"):
            return self._next()
        return None

    def _need(self, text: str) -> None:
        if self._take(text) is None:
            raise ExpressionError(self.peek().column, shown(self.peek()), f"'{text}'")

    # conditions

    def disjunction(self, depth: int) -> Node:
        return self._chain("or", self._conjunction, depth)

    def _conjunction(self, depth: int) -> Node:
        return self._chain("and", self._negation, depth)

    def _chain(self, word: str, part: Callable[[int], Node], depth: int) -> Node:
        if depth > DEEPEST:
            raise ExpressionError(self.peek().column, "too many levels", f"at most {DEEPEST} nested levels")
        first = part(depth)
        if self.peek().text != word:
            return first
        parts = [self.condition(first)]
        while self._take(word):
            parts.append(self.condition(part(depth)))
        return make_node(word, BOOLEAN, tuple(parts), column=first.column)

    def condition(self, node: Node) -> Node:
        """The node itself, if it is something that holds or not."""
        if node.op == "word":
            raise self._unknown(node)
        if node.type.kind != "boolean":
            raise ExpressionError(node.column, described(node), "a condition such as a comparison")
        return node

    def _negation(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise ExpressionError(self.peek().column, "too many levels", f"at most {DEEPEST} nested levels")
        if token := self._take("not"):
            return make_node("not", BOOLEAN, (self.condition(self._negation(depth + 1)),), column=token.column)
        return self._comparison(depth)

    def _comparison(self, depth: int) -> Node:
        left = self._sum(depth)
        if sign := self._take("==", "!=", "<", "<=", ">", ">="):
            right = self._sum(depth)
            if again := self._take("==", "!=", "<", "<=", ">", ">="):
                raise ExpressionError(again.column, repr(again.text), "'and' between two comparisons")
            return self._compared(sign, left, right)
        if self.peek().text == "not" and self._tokens[self._at + 1].text == "in":
            self._next()
            return make_node("not", BOOLEAN, (self._membership(self._next(), left, depth),), column=left.column)
        if token := self._take("in"):
            return self._membership(token, left, depth)
        return left

    def _compared(self, sign: Token, left: Node, right: Node) -> Node:
        if left.op == right.op == "word":
            raise self._unknown(left)  # what the other one is, is known by it
        # `fault == fault`: a state on the left is meant, and its word on the right.
        if left.op == right.op == "word":
            raise self._unknown(left)
        right = self._resolved(right, left.type)
        if left.op != "name" or right.op != "const":
            left = self._resolved(left, right.type)
        kinds = {left.type.kind, right.type.kind}
        if kinds == {"number"}:
            left, right = same_unit(left, right)
        elif sign.text not in ("==", "!="):
            odd = left if left.type.kind != "number" else right
            raise ExpressionError(odd.column, described(odd), f"numbers on both sides of {sign.text}")
        elif len(kinds) != 1:
            raise ExpressionError(right.column, described(right), f"{kind_of(left.type)} as on the left of {sign.text}")
        elif left.op == right.op == "name" and kinds == {"state"} and not left.type.words & right.type.words:
            raise ExpressionError(right.column, f"the state {right.value}", "a state that shares words with the left")
        return make_node(sign.text, BOOLEAN, (left, right), column=left.column)

    def _membership(self, token: Token, left: Node, depth: int) -> Node:
        opening = self._take("(", "[")
        if opening is None:
            raise ExpressionError(self.peek().column, shown(self.peek()), "a list such as (charging, full)")
        items = [self._item(left, depth)]
        while self._take(","):
            items.append(self._item(left, depth))
        self._need(")" if opening.text == "(" else "]")
        return make_node("in", BOOLEAN, (left,), frozenset(items), column=token.column)

    def _item(self, left: Node, depth: int) -> Scalar:
        item = self._resolved(self._unary(depth), left.type)
        if item.op != "const" or item.type.kind != left.type.kind:
            raise ExpressionError(item.column, described(item), kind_of(left.type))
        if item.type.kind == "number":
            item = in_unit(item, left.type.uom)
        assert not isinstance(item.value, frozenset)
        return item.value

    def _resolved(self, node: Node, other: Type) -> Node:
        """A bare word or a string becomes what the other side needs it to be."""
        if other.kind == "state" and (node.op == "word" or (node.op == "const" and node.type.kind == "text")):
            return state_word(node, other)
        if other.kind == "state" and node.op == "name" and node.value in other.words:
            return state_word(node, other)
        if node.op == "word":
            raise self._unknown(node)
        return node

    def _unknown(self, node: Node) -> ExpressionError:
        word = str(node.value)
        if word in self._names.elsewhere:
            return ExpressionError(node.column, f"{word!r}", self._names.elsewhere[word])
        return ExpressionError(
            node.column, f"the unknown name {word!r}", f"a metric, state or param{nearest(word, self._names.types)}"
        )

    # numbers

    def _sum(self, depth: int) -> Node:
        left = self._product(depth)
        while sign := self._take("+", "-"):
            left, right = same_unit(self.number(left), self.number(self._product(depth)))
            left = folded(make_node(sign.text, wider(left, right), (left, right), column=left.column))
        return left

    def _product(self, depth: int) -> Node:
        left = self._unary(depth)
        while sign := self._take("*", "/"):
            left, right = self.number(left), self.number(self._unary(depth))
            left = folded(make_node(sign.text, product_type(sign.text, left, right), (left, right), column=left.column))
        return left

    def number(self, node: Node) -> Node:
        """The node itself, if it is a number."""
        if node.op == "word":
            raise self._unknown(node)
        if node.type.kind != "number":
            raise ExpressionError(node.column, described(node), "a number")
        return node

    def _unary(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise ExpressionError(self.peek().column, "too many levels", f"at most {DEEPEST} nested levels")
        if token := self._take("-"):
            inner = self.number(self._unary(depth + 1))
            return folded(make_node("neg", inner.type, (inner,), column=token.column))
        return self._atom(depth)

    def _atom(self, depth: int) -> Node:
        token = self._next()
        if token.kind == "number":
            number = float(token.text)
            if not math.isfinite(number):
                raise ExpressionError(token.column, repr(token.text), "a number of ordinary size")
            unit = self._next().text if self.peek().kind == "unit" else None
            return Node("const", Type("number", unit), value=number, column=token.column)
        if token.kind == "string":
            return Node("const", TEXT, value=token.text[1:-1], column=token.column)
        if token.text == "(":
            inner = self.disjunction(depth + 1)
            self._need(")")
            return inner
        if token.kind == "name" and (token.text not in WORDS or token.text in ("true", "false")):
            return self._named(token, depth)
        raise ExpressionError(token.column, shown(token), "a name, a number or '('")

    def _named(self, token: Token, depth: int) -> Node:
        name = token.text
        if name in ("true", "false"):
            return Node("const", BOOLEAN, value=name == "true", column=token.column)
        if self.peek().text == "(" and self.peek().kind == "sign":
            return self._call(token, depth)
        if name in self._names.types:
            return Node("name", self._names.types[name], value=name, column=token.column)
        return Node("word", TEXT, value=name, column=token.column)

    def _call(self, token: Token, depth: int) -> Node:
        if token.text not in FUNCTIONS:
            expected = f"one of the functions {', '.join(sorted(FUNCTIONS))}{nearest(token.text, FUNCTIONS)}"
            raise ExpressionError(token.column, f"{token.text}(…)", expected)
        if depth >= DEEPEST:
            raise ExpressionError(token.column, "too many levels", f"at most {DEEPEST} nested levels")
        self._need("(")
        if token.text in WINDOWED:
            return self._window(token, depth)
        if token.text in GROUPED:
            return self._group(token, depth)
        if token.text == "age":
            return self._age(token)
        args = [self.number(self._sum(depth + 1))]
        while self._take(","):
            args.append(self.number(self._sum(depth + 1)))
        self._need(")")
        if token.text == "abs" and len(args) != 1:
            raise ExpressionError(token.column, f"{len(args)} arguments", "one argument of abs")
        for i in range(1, len(args)):
            args[0], args[i] = same_unit(args[0], args[i])
        return folded(make_node(token.text, wider(*args), tuple(args), column=token.column))

    def _age(self, function: Token) -> Node:
        if self._within == "count":
            raise ExpressionError(function.column, "age(…) within count(…)", "a condition on values")
        name = self._measured_name("age")
        if self.peek().text == ",":
            raise ExpressionError(function.column, "more than one argument", "one argument of age")
        self._need(")")
        return Node("age", SECONDS, value=name, column=function.column, depth=2)

    def _measured_name(self, function: str) -> str:
        """A metric or a state: something that is measured again and again."""
        token = self._next()
        if token.text in self._names.aged:
            return token.text
        if token.kind == "name" and token.text in self._names.elsewhere:
            raise ExpressionError(token.column, repr(token.text), self._names.elsewhere[token.text])
        hint = nearest(token.text, self._names.aged)
        raise ExpressionError(token.column, shown(token), f"a metric or a state as the argument of {function}{hint}")

    # looking back

    def _window(self, function: Token, depth: int) -> Node:
        if self._within == "count":
            raise ExpressionError(function.column, f"{function.text}(…) within count(…)", "a condition on values")
        if not self._names.windows:
            found = f"{function.text}(…)"
            raise ExpressionError(function.column, found, "no look back in time: only rules can watch")
        name, condition = self._counted(depth) if function.text == "count" else (self._watched(function), None)
        inner = self._argument_text(function)
        self._need(",")
        seconds = self._stretch(function)
        self._need(")")
        key = f"{function.text}({inner}, {stretch_text(seconds)})"
        uom = self._names.types[name].uom if name in self._names.types else None
        self.windows[key] = Window(key, function.text, name, condition, seconds)
        return Node("window", _result(function.text, uom), value=key, column=function.column, depth=2)

    def _watched(self, function: Token) -> str:
        token = self.peek()
        name = self._measured_name(function.text)
        if function.text != "changed" and self._names.types[name].kind != "number":
            raise ExpressionError(token.column, f"{name!r}", f"a metric as the first argument of {function.text}")
        return name

    def _counted(self, depth: int) -> tuple[str, Node | None]:
        token = self.peek()
        if token.text in self._names.moments and self._tokens[self._at + 1].text == ",":
            return self._next().text, None
        return "", self._inner_condition("count", token, depth)

    def _inner_condition(self, function: str, begin: Token, depth: int) -> Node:
        outer, self._within = self._within, function
        condition = self.condition(self.disjunction(depth + 1))
        self._within = outer
        if function == "count" and "silence" in mentioned(condition, "name"):
            raise ExpressionError(begin.column, "silence within count(…)", "a condition on values")
        if not any(mentioned(condition, op) for op in ("name", "age", "window")):
            raise ExpressionError(begin.column, "no name", "at least one metric or state to count by")
        return condition

    def _argument_text(self, function: Token) -> str:
        """What has been read since the parenthesis of a function, as it is written."""
        begin = self._tokens[self._tokens.index(function) + 2].column - 1
        return " ".join(self._text[begin : self.peek().column - 1].split())

    # members

    def _group(self, function: Token, depth: int) -> Node:
        """`number(port, state == fault)`: the condition speaks of one member, in its own names."""
        if self._within:
            found = f"{function.text}(…) within {self._within}(…)"
            raise ExpressionError(function.column, found, "a condition on values")
        kind = self._kind(function)
        self._need(",")
        outer, self._names = self._names, self._names.groups[kind]
        windows, self.windows = self.windows, {}
        condition = self._inner_condition(function.text, self.peek(), depth)
        self._names, self.windows, own = outer, windows, tuple(self.windows.values())
        key = f"{function.text}({self._argument_text(function)})"
        self._need(")")
        self.groups[key] = Group(key, function.text, kind, condition, own)
        type_ = RATIO if function.text == "share" else Type("number", "")
        return Node(function.text, type_, value=key, column=function.column, depth=2)

    def _kind(self, function: Token) -> str:
        token, kinds = self._next(), self._names.groups
        if token.text in kinds:
            return token.text
        if not kinds:
            found = f"{function.text}(…)"
            expected = "no count of members here: only a device has children, and a site has devices"
            raise ExpressionError(function.column, found, expected)
        expected = f"whose number is meant: {', '.join(sorted(kinds))}{nearest(token.text, kinds)}"
        raise ExpressionError(token.column, shown(token), expected)

    def _stretch(self, function: Token) -> float:
        token = self.peek()
        node = self._unary(0)
        factor = units.factor(node.type.uom, "s") if node.op == "const" and node.type.uom else None
        if factor is None or not isinstance(node.value, float):
            raise ExpressionError(token.column, described(node), "a stretch of time such as 10m or 1h")
        seconds, longest = node.value * factor, LONGEST_WINDOW[function.text]
        if not SHORTEST_WINDOW <= seconds <= longest:
            expected = f"from {SHORTEST_WINDOW}s to {stretch_text(longest)} in {function.text}"
            raise ExpressionError(token.column, stretch_text(seconds), expected)
        return seconds


def _result(function: str, uom: str | None) -> Type:
    """The type of what looks back: a rate is per second, however long it looks."""
    if function == "changed":
        return BOOLEAN
    if function == "count":
        return Type("number", "")
    return Type("number", f"{uom}/s" if function == "rate" and uom else uom)


def stretch_text(seconds: float) -> str:
    """A length of time as people write it: "10m"."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"
