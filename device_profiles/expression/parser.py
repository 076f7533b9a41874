"""Tokens -> checked tree."""

from __future__ import annotations

import math
from collections.abc import Callable

from device_profiles.expression.node import Node, described
from device_profiles.expression.tokens import Token, shown
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
    LATER,
    SECONDS,
    TEXT,
    WORDS,
    ExpressionError,
    Names,
    Type,
    nearest,
)
from device_profiles.schema import Scalar


class Parser:
    """Recursive descent; `depth` counts nested parentheses and signs so that no text can exhaust the stack."""

    def __init__(self, tokens: list[Token], names: Names) -> None:
        self._tokens = tokens
        self._at = 0
        self._names = names
        self.used: set[str] = set()
        self.aged: set[str] = set()

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
        left, right = self._resolved(left, right.type), self._resolved(right, left.type)
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
            self.used.discard(str(node.value))
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
            left, right = same_unit(self._number(left), self._number(self._product(depth)))
            left = folded(make_node(sign.text, wider(left, right), (left, right), column=left.column))
        return left

    def _product(self, depth: int) -> Node:
        left = self._unary(depth)
        while sign := self._take("*", "/"):
            left, right = self._number(left), self._number(self._unary(depth))
            left = folded(make_node(sign.text, product_type(sign.text, left, right), (left, right), column=left.column))
        return left

    def _number(self, node: Node) -> Node:
        if node.op == "word":
            raise self._unknown(node)
        if node.type.kind != "number":
            raise ExpressionError(node.column, described(node), "a number")
        return node

    def _unary(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise ExpressionError(self.peek().column, "too many levels", f"at most {DEEPEST} nested levels")
        if token := self._take("-"):
            inner = self._number(self._unary(depth + 1))
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
            self.used.add(name)
            return Node("name", self._names.types[name], value=name, column=token.column)
        return Node("word", TEXT, value=name, column=token.column)

    def _call(self, token: Token, depth: int) -> Node:
        if token.text in LATER:
            raise ExpressionError(token.column, f"{token.text}(…)", "min, max, abs or age: not yet supported here")
        if token.text not in FUNCTIONS:
            expected = f"one of the functions min, max, abs, age{nearest(token.text, FUNCTIONS)}"
            raise ExpressionError(token.column, f"{token.text}(…)", expected)
        self._need("(")
        args = [self._argument(token, depth)]
        while self._take(","):
            args.append(self._argument(token, depth))
        self._need(")")
        if token.text in ("abs", "age") and len(args) != 1:
            raise ExpressionError(token.column, f"{len(args)} arguments", f"one argument of {token.text}")
        if token.text == "age":
            return Node("age", SECONDS, value=args[0].value, column=token.column, depth=2)
        for i in range(1, len(args)):
            args[0], args[i] = same_unit(args[0], args[i])
        return folded(make_node(token.text, wider(*args), tuple(args), column=token.column))

    def _argument(self, function: Token, depth: int) -> Node:
        if depth >= DEEPEST:
            raise ExpressionError(function.column, "too many levels", f"at most {DEEPEST} nested levels")
        if function.text != "age":
            return self._number(self._sum(depth + 1))
        token = self._next()
        if token.text not in self._names.aged:
            if token.kind == "name" and token.text in self._names.elsewhere:
                raise ExpressionError(token.column, repr(token.text), self._names.elsewhere[token.text])
            hint = nearest(token.text, self._names.aged)
            raise ExpressionError(token.column, shown(token), f"a metric or a state as the argument of age{hint}")
        self.aged.add(token.text)
        return Node("name", self._names.types[token.text], value=token.text, column=token.column)
