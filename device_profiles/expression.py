"""The closed expression grammar of rules: text -> checked tree -> compiled closure.

    port_temp >= 80 °C and port_state in (charging, float)
    outlet_pressure < setpoint - 0.10 MPa
    run == running and (parent.inlet_pressure < 0.05 MPa or current < 0.6 * rated_current)
    presence == offline or age(tank_level) > 6m

Names are metrics, states and params of the profile, `parent.x` for the device a child belongs to, and the builtins
`presence` and `silence`. There are numbers with units, the words of a state, strings, `and or not`, comparisons, `in`,
`+ - * /`, `min max abs` and `age(name)`; nothing else. Types and units are checked when the profile is loaded.

Evaluation is three-valued: a name without a value is unknown (None), and only an operand that decides the result by
itself (`None or True`, `None and False`) makes it known.
"""

from __future__ import annotations

import math
import operator
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple

from device_profiles import units
from device_profiles.schema import DeviceProfile, Scalar

Value = float | int | str | bool | None
Age = Callable[[str], float | None]
Condition = Callable[[Mapping[str, Value], Age], Value]
"""(the values visible, age of a name in seconds) -> the result, or None where it is unknown."""

LONGEST = 1000
DEEPEST = 24
BUILTINS = frozenset({"presence", "silence"})
PRESENCE_WORDS = ("online", "stale", "offline", "unknown")
LATER = frozenset({"rate", "delta", "mean", "count", "changed"})
_FUNCTIONS = frozenset({"min", "max", "abs", "age"})
_WORDS = frozenset({"and", "or", "not", "in", "true", "false"})


class ExpressionError(ValueError):
    """An expression that is refused: where (column from 1), what was found, what was expected."""

    def __init__(self, column: int, found: str, expected: str) -> None:
        super().__init__(f"column {column}: found {found}, expected {expected}")
        self.column = column
        self.found = found
        self.expected = expected


# --- what there is to talk about -------------------------------------------------------------------------------------


class Type(NamedTuple):
    """What kind of value a part of an expression has."""

    kind: str
    """number, state, text or boolean."""
    uom: str | None = None
    """A number's unit; None for one that takes the unit of what it meets."""
    words: frozenset[str] = frozenset()
    """A state's words."""


NUMBER = Type("number")
BOOLEAN = Type("boolean")
TEXT = Type("text")
SECONDS = Type("number", "s")


@dataclass(frozen=True)
class Names:
    """The names an expression may use, and what each one is."""

    types: Mapping[str, Type]
    aged: frozenset[str] = frozenset()
    """Those that have an age: metrics and states."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Names that exist, though not here -> where they are."""


def names_of(profile: DeviceProfile, scope: str | None) -> Names:
    """What a rule on this child kind (or on the device itself) can see."""
    types: dict[str, Type] = {"presence": Type("state", words=frozenset(PRESENCE_WORDS)), "silence": SECONDS}
    types |= {name: _param_type(param.type, param.uom) for name, param in profile.params.items()}
    aged: set[str] = set()
    elsewhere: dict[str, str] = {}
    for name, (type_, owner) in _measured(profile).items():
        visible = name if owner == scope else f"parent.{name}" if owner is None else None
        if visible is not None:
            types[visible] = type_
            aged.add(visible)
        if visible != name:
            elsewhere[name] = f"parent.{name}" if owner is None else f"a rule with scope: {owner}"
    return Names(types, frozenset(aged), elsewhere)


def _measured(profile: DeviceProfile) -> dict[str, tuple[Type, str | None]]:
    metrics = {name: (Type("number", metric.uom), metric.scope) for name, metric in profile.metrics.items()}
    states = {
        name: (Type("state", words=frozenset(state.values)), state.scope) for name, state in profile.states.items()
    }
    return {**metrics, **states}


def _param_type(kind: str, uom: str) -> Type:
    if kind in ("number", "integer"):
        return Type("number", uom)
    return BOOLEAN if kind == "boolean" else TEXT


# --- tokens ----------------------------------------------------------------------------------------------------------


class Token(NamedTuple):
    kind: str  # number, unit, name, string, sign, end
    text: str
    column: int


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    | (?P<string>"[^"]*"|'[^']*')
    | (?P<sign>==|!=|<=|>=|&&|\|\||[-+*/(),<>=\[\]!])
    )""",
    re.VERBOSE,
)
_UNKNOWN_UNIT = re.compile(r"\s*([^\W\d_][\w/]*|[°%‰µ]\w*)")
_HINTS = {"=": "==", "&&": "and", "||": "or", "!": "not or !="}


def _unit_pattern(names: Names) -> re.Pattern[str]:
    own = {type_.uom for type_ in names.types.values() if type_.uom}
    symbols = sorted(units.KNOWN | own, key=len, reverse=True)
    return re.compile(rf"\s*({'|'.join(re.escape(symbol) for symbol in symbols)})(?!\w)")


def _tokens(text: str, names: Names) -> list[Token]:
    if len(text) > LONGEST:
        raise ExpressionError(LONGEST + 1, f"{len(text)} characters", f"at most {LONGEST}")
    unit = _unit_pattern(names)
    tokens: list[Token] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            column = at + len(text[at:]) - len(text[at:].lstrip())
            raise ExpressionError(column + 1, repr(text[column]), "a name, a number or an operator")
        kind = found.lastgroup
        token = Token(kind, found[kind], found.start(kind) + 1)
        if token.text in _HINTS:
            raise ExpressionError(token.column, repr(token.text), _HINTS[token.text])
        tokens.append(token)
        at = found.end()
        if kind == "number":
            at = _take_unit(text, at, unit, names, tokens)
    return [*tokens, Token("end", "", end + 1)]


def _take_unit(text: str, at: int, unit: re.Pattern[str], names: Names, tokens: list[Token]) -> int:
    if found := unit.match(text, at):
        tokens.append(Token("unit", found[1], found.start(1) + 1))
        return found.end()
    follows = _UNKNOWN_UNIT.match(text, at)
    if follows and follows[1] not in _WORDS and follows[1] not in names.types:
        known = units.KNOWN | {type_.uom for type_ in names.types.values() if type_.uom}
        raise ExpressionError(follows.start(1) + 1, f"the unit {follows[1]!r}", f"a unit{_nearest(follows[1], known)}")
    return at


def _nearest(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    same = [name for name in names if name.lower() == word.lower()]
    close = same or get_close_matches(word, names, n=1, cutoff=0.55)
    return f" (did you mean {close[0]}?)" if close else ""


# --- the tree --------------------------------------------------------------------------------------------------------


class Node(NamedTuple):
    """A checked part of an expression."""

    op: str  # const, name, word, age, neg, min, max, abs, + - * /, == != < <= > >=, in, and, or, not
    type: Type
    args: tuple[Node, ...] = ()
    value: Scalar | frozenset[Scalar] = 0
    column: int = 0
    depth: int = 1


@dataclass(frozen=True)
class Expression:
    """A checked condition."""

    text: str
    root: Node
    names: frozenset[str]
    """Every name that is read, as it is written (`parent.x` included)."""
    aged: frozenset[str] = frozenset()
    """Those of which only the age is read."""

    @property
    def timed(self) -> bool:
        """It can change without a new value: presence, silence, age()."""
        return "presence" in self.names or self.aging

    @property
    def aging(self) -> bool:
        """It can change with every moment that passes: silence, age()."""
        return "silence" in self.names or _has_age(self.root)

    def compile(self) -> Condition:
        """One closure; call it with (values, age)."""
        return _compile(self.root)


def parse(text: str, names: Names) -> Expression:
    """Check a condition against the names it may use; raises ExpressionError."""
    parser = _Parser(_tokens(text, names), names)
    root = parser.disjunction(0)
    end = parser.peek()
    if end.kind != "end":
        raise ExpressionError(end.column, _shown(end), "an operator or the end")
    root = parser.condition(root)
    if not parser.used and not parser.aged:
        raise ExpressionError(1, "no name", "at least one metric, state or builtin")
    used = frozenset(parser.used | parser.aged)
    return Expression(text, root, used, frozenset(parser.aged - parser.used))


def _has_age(node: Node) -> bool:
    return node.op == "age" or any(_has_age(arg) for arg in node.args)


def _shown(token: Token) -> str:
    return "the end" if token.kind == "end" else repr(token.text)


def _described(node: Node) -> str:
    if node.op == "word":
        return repr(node.value)
    if node.type.kind == "number":
        return f"a number in {node.type.uom}" if node.type.uom else "a number"
    return {"state": "a state", "text": "a text", "boolean": "a condition"}[node.type.kind]


class _Parser:
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
            raise ExpressionError(self.peek().column, _shown(self.peek()), f"'{text}'")

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
        return _node(word, BOOLEAN, tuple(parts), column=first.column)

    def condition(self, node: Node) -> Node:
        """The node itself, if it is something that holds or not."""
        if node.op == "word":
            raise self._unknown(node)
        if node.type.kind != "boolean":
            raise ExpressionError(node.column, _described(node), "a condition such as a comparison")
        return node

    def _negation(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise ExpressionError(self.peek().column, "too many levels", f"at most {DEEPEST} nested levels")
        if token := self._take("not"):
            return _node("not", BOOLEAN, (self.condition(self._negation(depth + 1)),), column=token.column)
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
            return _node("not", BOOLEAN, (self._membership(self._next(), left, depth),), column=left.column)
        if token := self._take("in"):
            return self._membership(token, left, depth)
        return left

    def _compared(self, sign: Token, left: Node, right: Node) -> Node:
        left, right = self._resolved(left, right.type), self._resolved(right, left.type)
        kinds = {left.type.kind, right.type.kind}
        if kinds == {"number"}:
            left, right = _same_unit(left, right)
        elif sign.text not in ("==", "!="):
            odd = left if left.type.kind != "number" else right
            raise ExpressionError(odd.column, _described(odd), f"numbers on both sides of {sign.text}")
        elif len(kinds) != 1:
            raise ExpressionError(right.column, _described(right), f"{_kind(left.type)} as on the left of {sign.text}")
        elif left.op == right.op == "name" and kinds == {"state"} and not left.type.words & right.type.words:
            raise ExpressionError(right.column, f"the state {right.value}", "a state that shares words with the left")
        return _node(sign.text, BOOLEAN, (left, right), column=left.column)

    def _membership(self, token: Token, left: Node, depth: int) -> Node:
        opening = self._take("(", "[")
        if opening is None:
            raise ExpressionError(self.peek().column, _shown(self.peek()), "a list such as (charging, full)")
        items = [self._item(left, depth)]
        while self._take(","):
            items.append(self._item(left, depth))
        self._need(")" if opening.text == "(" else "]")
        return _node("in", BOOLEAN, (left,), frozenset(items), column=token.column)

    def _item(self, left: Node, depth: int) -> Scalar:
        item = self._resolved(self._unary(depth), left.type)
        if item.op != "const" or item.type.kind != left.type.kind:
            raise ExpressionError(item.column, _described(item), _kind(left.type))
        if item.type.kind == "number":
            item = _in_unit(item, left.type.uom)
        assert not isinstance(item.value, frozenset)
        return item.value

    def _resolved(self, node: Node, other: Type) -> Node:
        """A bare word or a string becomes what the other side needs it to be."""
        if other.kind == "state" and (node.op == "word" or (node.op == "const" and node.type.kind == "text")):
            return _state_word(node, other)
        if other.kind == "state" and node.op == "name" and node.value in other.words:
            self.used.discard(str(node.value))
            return _state_word(node, other)
        if node.op == "word":
            raise self._unknown(node)
        return node

    def _unknown(self, node: Node) -> ExpressionError:
        word = str(node.value)
        if word in self._names.elsewhere:
            return ExpressionError(node.column, f"{word!r}", self._names.elsewhere[word])
        return ExpressionError(
            node.column, f"the unknown name {word!r}", f"a metric, state or param{_nearest(word, self._names.types)}"
        )

    # numbers

    def _sum(self, depth: int) -> Node:
        left = self._product(depth)
        while sign := self._take("+", "-"):
            left, right = _same_unit(self._number(left), self._number(self._product(depth)))
            left = _folded(_node(sign.text, _wider(left, right), (left, right), column=left.column))
        return left

    def _product(self, depth: int) -> Node:
        left = self._unary(depth)
        while sign := self._take("*", "/"):
            left, right = self._number(left), self._number(self._unary(depth))
            left = _folded(_node(sign.text, _product_type(sign.text, left, right), (left, right), column=left.column))
        return left

    def _number(self, node: Node) -> Node:
        if node.op == "word":
            raise self._unknown(node)
        if node.type.kind != "number":
            raise ExpressionError(node.column, _described(node), "a number")
        return node

    def _unary(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise ExpressionError(self.peek().column, "too many levels", f"at most {DEEPEST} nested levels")
        if token := self._take("-"):
            inner = self._number(self._unary(depth + 1))
            return _folded(_node("neg", inner.type, (inner,), column=token.column))
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
        if token.kind == "name" and (token.text not in _WORDS or token.text in ("true", "false")):
            return self._named(token, depth)
        raise ExpressionError(token.column, _shown(token), "a name, a number or '('")

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
        if token.text not in _FUNCTIONS:
            expected = f"one of the functions min, max, abs, age{_nearest(token.text, _FUNCTIONS)}"
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
            args[0], args[i] = _same_unit(args[0], args[i])
        return _folded(_node(token.text, _wider(*args), tuple(args), column=token.column))

    def _argument(self, function: Token, depth: int) -> Node:
        if depth >= DEEPEST:
            raise ExpressionError(function.column, "too many levels", f"at most {DEEPEST} nested levels")
        if function.text != "age":
            return self._number(self._sum(depth + 1))
        token = self._next()
        if token.text not in self._names.aged:
            if token.kind == "name" and token.text in self._names.elsewhere:
                raise ExpressionError(token.column, repr(token.text), self._names.elsewhere[token.text])
            nearest = _nearest(token.text, self._names.aged)
            raise ExpressionError(token.column, _shown(token), f"a metric or a state as the argument of age{nearest}")
        self.aged.add(token.text)
        return Node("name", self._names.types[token.text], value=token.text, column=token.column)


# --- types and units -------------------------------------------------------------------------------------------------


def _node(
    op: str, type_: Type, args: tuple[Node, ...], value: Scalar | frozenset[Scalar] = 0, *, column: int = 0
) -> Node:
    depth = 1 + max(arg.depth for arg in args)
    if depth > 2 * DEEPEST:
        raise ExpressionError(column, "too many operators in a row", f"at most {2 * DEEPEST}")
    return Node(op, type_, args, value, column=column, depth=depth)


def _kind(type_: Type) -> str:
    if type_.kind == "state":
        return f"one of {', '.join(sorted(type_.words))}"
    return {"number": "a number", "text": "a text", "boolean": "true or false"}[type_.kind]


def _state_word(node: Node, state: Type) -> Node:
    word = str(node.value)
    if word not in state.words:
        expected = f"one of {', '.join(sorted(state.words))}{_nearest(word, state.words)}"
        raise ExpressionError(node.column, repr(word), expected)
    return Node("const", state, value=word, column=node.column)


def _same_unit(left: Node, right: Node) -> tuple[Node, Node]:
    """Bring two numbers into one unit: a constant goes to the other's."""
    if left.op == "const" and right.op != "const":
        return _in_unit(left, right.type.uom), right
    return left, _in_unit(right, left.type.uom)


def _in_unit(node: Node, uom: str | None) -> Node:
    if uom is None or node.type.uom is None:
        return node
    factor = units.factor(node.type.uom, uom)
    if factor is None:
        found = f"a number in {node.type.uom}" if node.type.uom else "a number without a unit"
        raise ExpressionError(node.column, found, f"one in {uom}" if uom else "one without a unit")
    if factor == 1.0:
        return node
    if node.op == "const":
        assert isinstance(node.value, float)
        return node._replace(value=float(f"{node.value * factor:.12g}"), type=Type("number", uom))
    scale = Node("const", NUMBER, value=factor, column=node.column)
    return _node("*", Type("number", uom), (node, scale), column=node.column)


def _wider(*nodes: Node) -> Type:
    """The unit of a sum: that of the first part which has one."""
    return next((node.type for node in nodes if node.type.uom is not None), NUMBER)


def _product_type(op: str, left: Node, right: Node) -> Type:
    if op == "/" and left.type.uom and right.type.uom and left.type.uom == right.type.uom:
        return NUMBER
    if right.type.uom in (None, ""):
        return left.type
    if op == "*" and left.type.uom in (None, ""):
        return right.type
    # Watts from volts and amperes: such a product takes the unit of what it is compared with.
    return NUMBER


def _folded(node: Node) -> Node:
    if any(arg.op != "const" for arg in node.args):
        return node
    result = _compile(node)({}, lambda _name: None)
    if result is None:
        raise ExpressionError(node.column, "a number that cannot be computed", "a finite number")
    return Node("const", node.type, value=result, column=node.column)


# --- compilation -----------------------------------------------------------------------------------------------------


def _compile(node: Node) -> Condition:
    if node.op == "const":
        value = node.value
        assert not isinstance(value, frozenset)
        return lambda _values, _age: value
    if node.op == "name":
        return _compile_name(str(node.value), node.type.kind)
    if node.op == "age":
        name = str(node.value)
        return lambda _values, age: age(name)
    if node.op in _COMPARISONS:
        return _compile_comparison(node)
    return _OTHERS[node.op](node)


def _compile_name(name: str, kind: str) -> Condition:
    """A value of another kind than declared is unknown rather than an error in the middle of the night."""
    if kind == "number":

        def number(values: Mapping[str, Value], _age: Age) -> Value:
            value = values.get(name)
            if value.__class__ is float:
                return value
            return float(value) if value.__class__ is int else None

        return number
    wanted = bool if kind == "boolean" else str

    def other(values: Mapping[str, Value], _age: Age) -> Value:
        value = values.get(name)
        return value if value.__class__ is wanted else None

    return other


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compile_comparison(node: Node) -> Condition:
    compare = _COMPARISONS[node.op]
    left, right = _compile(node.args[0]), _compile(node.args[1])
    if node.args[1].op == "const":
        constant = node.args[1].value

        def with_constant(values: Mapping[str, Value], age: Age) -> Value:
            value = left(values, age)
            return None if value is None else compare(value, constant)

        return with_constant

    def with_both(values: Mapping[str, Value], age: Age) -> Value:
        a, b = left(values, age), right(values, age)
        return None if a is None or b is None else compare(a, b)

    return with_both


def _compile_in(node: Node) -> Condition:
    inner, members = _compile(node.args[0]), node.value
    assert isinstance(members, frozenset)

    def contained(values: Mapping[str, Value], age: Age) -> Value:
        value = inner(values, age)
        return None if value is None else value in members

    return contained


def _compile_not(node: Node) -> Condition:
    inner = _compile(node.args[0])

    def opposite(values: Mapping[str, Value], age: Age) -> Value:
        value = inner(values, age)
        return None if value is None else not value

    return opposite


def _compile_chain(node: Node) -> Condition:
    """`and`, `or`: one part can decide alone, and then an unknown part does not matter."""
    parts = tuple(_compile(part) for part in node.args)
    decisive = node.op == "or"

    def chain(values: Mapping[str, Value], age: Age) -> Value:
        result: Value = not decisive
        for part in parts:
            value = part(values, age)
            if value is decisive:
                return decisive
            if value is None:
                result = None
        return result

    return chain


_LARGEST = sys.float_info.max
_ARITHMETIC: dict[str, Callable[..., float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "neg": operator.neg,
    "abs": abs,
    "min": min,
    "max": max,
}


def _compile_arithmetic(node: Node) -> Condition:
    compute = _ARITHMETIC[node.op]
    if len(node.args) == 2:
        return _compile_binary(compute, _compile(node.args[0]), _compile(node.args[1]))
    parts = tuple(_compile(part) for part in node.args)

    def arithmetic(values: Mapping[str, Value], age: Age) -> Value:
        numbers = [part(values, age) for part in parts]
        return None if None in numbers else _finite(compute(*numbers))

    return arithmetic


def _compile_binary(compute: Callable[..., float], left: Condition, right: Condition) -> Condition:
    def binary(values: Mapping[str, Value], age: Age) -> Value:
        a = left(values, age)
        if a is None:
            return None
        b = right(values, age)
        if b is None:
            return None
        try:
            result = compute(a, b)
        except ZeroDivisionError:
            return None
        return result if -_LARGEST <= result <= _LARGEST else None

    return binary


def _finite(number: float) -> float | None:
    return number if -_LARGEST <= number <= _LARGEST else None


_OTHERS: dict[str, Callable[[Node], Condition]] = {
    "in": _compile_in,
    "not": _compile_not,
    "and": _compile_chain,
    "or": _compile_chain,
    **dict.fromkeys(_ARITHMETIC, _compile_arithmetic),
}
