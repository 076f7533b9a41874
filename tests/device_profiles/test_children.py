"""The children of a device are known before they speak."""

from __future__ import annotations

from device_profiles.children import children_of, keys_of
from device_profiles.library import SHIPPED, load

LIBRARY = load(SHIPPED)


def test_counted_by_a_param() -> None:
    assert list(children_of(LIBRARY["ebike_charger_json"], {"ports": 3})) == ["port:1", "port:2", "port:3"]


def test_listed_by_a_param() -> None:
    listed = {"cameras": "gate, yard,, "}
    assert list(children_of(LIBRARY["camera_frigate"], listed)) == ["camera:gate", "camera:yard"]
    assert list(children_of(LIBRARY["camera_frigate"], {"cameras": ""})) == []


def test_where_only_messages_tell_there_are_none_to_name() -> None:
    profile = LIBRARY["camera_frigate"]
    open_ended = profile.children["camera"].model_copy(update={"keys": None, "count": None})
    told = profile.model_copy(update={"children": {"camera": open_ended}})
    assert keys_of(told, "camera", {}) is None
    assert list(children_of(told, {})) == []
