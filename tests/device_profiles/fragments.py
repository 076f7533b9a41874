"""Short examples of the documentation, made whole: what they leave unsaid is said for them."""

from __future__ import annotations

import json
from typing import Any

from ruamel.yaml import YAML


def whole(fragment: str) -> str:
    """A loadable profile: with a head, and a metric for every field that the fragment does not declare."""
    data: dict[str, Any] = YAML(typ="safe", pure=True).load(fragment)
    head = {"profile": "example", "family": "example", "name": {"zh": "例", "en": "Example"}}
    profile = {**head, "availability": {"period": "1m"}, **data}
    metrics, children = profile.setdefault("metrics", {}), profile.setdefault("children", {})
    for binding in profile["bindings"]:
        _declare(profile, metrics, binding.get("fields", {}), None)
        for each in binding.get("each", []):
            children.setdefault(each["child"], {"name": {"zh": each["child"], "en": each["child"]}})
            _declare(profile, metrics, each.get("fields", {}), each["child"])
    return json.dumps(profile, ensure_ascii=False, default=str)


def _declare(profile: dict[str, Any], metrics: dict[str, Any], fields: dict[str, Any], scope: str | None) -> None:
    for name in fields:
        if name not in metrics and name not in profile.get("states", {}):
            metrics[name] = {"name": {"zh": name, "en": name}} | ({"scope": scope} if scope else {})
