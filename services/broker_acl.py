"""Who may say and hear what on Mosquitto: written from the profiles, because these are the topics there are.

`python -m services.broker_acl` brings deploy/mosquitto/acl in step with the shipped profiles.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from device_profiles.library import load
from device_profiles.schema import DeviceProfile
from gateway.decode.templates import Slot, parse_template
from gateway.decode.topics import fewest_filters, parse_topic

FILE = Path(__file__).parent.parent / "deploy" / "mosquitto" / "acl"
_HEAD = """\
# Who may say and hear what. An account that is not named here may only speak under its own name (the pattern below).
# Written by `python -m services.broker_acl` from the shipped profiles; topics of your own profiles go to the end of the
# account they concern.

# Best: one account per device (`courtyard secrets device NAME`), named as the device names itself on the wire: it
# speaks for no other one, and hears no other one's commands.
pattern write courtyard/+/+/%u/#
pattern read courtyard/+/+/%u/command
"""


def acl(profiles: Iterable[DeviceProfile]) -> str:
    """The whole file for these profiles."""
    profiles = list(profiles)
    spoken = fewest_filters(spoken_topics(profiles))
    commanded = fewest_filters(command_filter(c.topic) for p in profiles for c in p.commands.values())
    platforms = sorted({topic.split("/")[0] for topic in spoken if topic.startswith("$")})
    return "\n".join(
        [
            _HEAD,
            "# The gateway hears everything and says nothing but the commands of the profiles.",
            "user gateway",
            "topic read #",
            *(f"topic read {platform}/#" for platform in platforms),
            *(f"topic write {topic}" for topic in commanded),
            "",
            "# One account for equipment that cannot have its own. It may speak and hear commands on the topics of the",
            "# shipped profiles, but for those that begin with any word: name these here for the equipment you have.",
            "user devices",
            *(f"topic write {topic}" for topic in spoken),
            *(f"topic read {topic}" for topic in commanded),
            "",
        ]
    )


def spoken_topics(profiles: Iterable[DeviceProfile]) -> list[str]:
    """Filters of what devices say; not those so general that commands to others would be among them."""
    filters = [
        parse_topic(binding.topic).filter
        for profile in profiles
        if profile.discovery
        for binding in profile.bindings
        if not binding.ignore and not binding.registered_only
    ]
    return [one for one in filters if one.split("/")[0] not in ("+", "#")]


def command_filter(template: str) -> str:
    """The filter of all topics that a command's template can give."""
    parts = parse_template(template).parts if "{" in template else (template,)
    text = "".join("\0" if isinstance(part, Slot) else part for part in parts)
    return "/".join("+" if "\0" in level else level for level in re.split("/", text))


def write() -> None:
    FILE.write_text(acl(load().values()), encoding="utf-8")


if __name__ == "__main__":
    write()
