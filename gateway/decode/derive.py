"""`derive:` compiled: a metric that is computed from values of the same reading (and those that the same message says
of the device it is a part of), and from the device's params."""

from __future__ import annotations

from collections.abc import Mapping

from device_profiles.expression import ExpressionError, parse_number
from device_profiles.expression.vocabulary import names_of_reading
from device_profiles.schema import DeviceProfile, FieldMap, Scalar
from gateway.decode.pipeline import Flags, Values, settle_metric
from gateway.reading import Value

_PARENT = "parent."


class Derived:
    """One derived metric. Building it raises ValueError."""

    def __init__(self, profile: DeviceProfile, name: str) -> None:
        metric = profile.metrics[name]
        text = metric.derive or ""
        try:
            expression = parse_number(text, names_of_reading(profile, metric.scope), metric.uom)
        except ExpressionError as error:
            raise ValueError(f"derive of {name}: {error}") from error
        self.name = name
        self.inputs = frozenset(expression.names) - profile.params.keys()
        """The metrics and states that it is computed from; those of the device begin with `parent.`."""
        self._of_parent = tuple(
            (name, name.removeprefix(_PARENT)) for name in sorted(self.inputs) if name.startswith(_PARENT)
        )
        self._compute = expression.compile()
        self._settle = settle_metric(name, FieldMap(const=0), metric)

    def fill(self, values: Values, flags: Flags, params: Mapping[str, Scalar], parent: Values) -> None:
        """Put the metric into the values. What the device says itself stays; where an input was erased, so is this."""
        if self.name in values or self.name in flags:
            return
        given: dict[str, Value] = {**params, **values}
        for seen_as, name in self._of_parent:
            if name in parent:
                given[seen_as] = parent[name]
        found = self._compute(given, _ageless)
        if found is not None:
            self._settle(found, values, flags)
        elif any(name in given and given[name] is None for name in self.inputs):
            values[self.name] = None


def _ageless(_: str) -> float | None:
    return None
