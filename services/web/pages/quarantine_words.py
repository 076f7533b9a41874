"""Why a message could not be decoded, in words: what is the matter, and whose move it is. One for each code."""

from __future__ import annotations

from typing import NamedTuple

from services.web.i18n import N_


class Reason(NamedTuple):
    """Two messages of the catalog."""

    what: str
    next_step: str


REASONS = {
    "no_binding": Reason(
        N_("No profile listens to this topic."),
        N_("Check the topic in the device's settings, or write a profile for this kind of device."),
    ),
    "no_match": Reason(
        N_("A profile knows the topic, but not this kind of message."),
        N_("Add a binding to the profile whose `when` takes it, or one with `ignore` if it means nothing."),
    ),
    "too_large": Reason(
        N_("It is larger than any message that is taken."),
        N_("Let the device send less at a time. Of very large messages only the beginning was kept."),
    ),
    "malformed": Reason(
        N_("It is not written the way the profile expects."),
        N_("Compare it with the profile's `decode`: the device may have other firmware, or be set to another format."),
    ),
    "truncated": Reason(
        N_("It ends too early."),
        N_("If all of them are as short, the profile expects too much; if only some are, they are cut off on the way."),
    ),
    "integrity": Reason(
        N_("Its checksum or its length is wrong."),
        N_("Now and then: look at cable, antenna and adapter. Always: the profile reckons another way."),
    ),
    "constant": Reason(
        N_("A part that is always the same is different here."),
        N_("It is another kind of message or another version of the protocol: add a binding for it."),
    ),
    "wrong_type": Reason(
        N_("A value is of another kind than the profile says."),
        N_("Mend the field's path or `cast` in the profile."),
    ),
    "unknown_word": Reason(
        N_("It has a word or a number that the profile does not know."),
        N_("Look up what it means, and add it to the words of this field in the profile."),
    ),
    "unknown_key": Reason(
        N_("It has a part that the profile's layout does not list."),
        N_("Look up the key in the vendor's document, and add its layout to `tlv`."),
    ),
    "unknown_alias": Reason(
        N_("It speaks of metrics by numbers that no birth message has named."),
        N_("It mends itself with the node's next birth. To have one now, ask the node for a rebirth."),
    ),
    "unknown_poll": Reason(
        N_("It answers a question that was not seen, or that the profile does not ask."),
        N_("Let the gateway hear the questions as well, or add this poll to the profile's `modbus`."),
    ),
    "missing": Reason(
        N_("A field that must be there is missing."),
        N_("If the device may leave it out, say so with `when_missing` in the profile."),
    ),
    "nothing_known": Reason(
        N_("Nothing in it is known to the profile."),
        N_("The paths of the profile do not fit this message: another model, other firmware, or another profile."),
    ),
    "bad_time": Reason(
        N_("Its time cannot be read."),
        N_("Mend the `format` of `time` in the profile, or let the arrival count: `trust: server`."),
    ),
    "bad_address": Reason(
        N_("What the device or a part of it calls itself cannot be used as a name."),
        N_("Give the device a name without + # / and control characters, at most 128 characters long."),
    ),
    "not_registered": Reason(
        N_("It is of a device that stands in no site file, and its profile takes only those that do."),
        N_("Add the device with this address to the site file, and import it."),
    ),
    "too_many": Reason(
        N_("It holds, or makes, more than one gateway takes."),
        N_("If it is rightly so, let the device send it in parts; if not, look who sends messages of made-up devices."),
    ),
    "internal": Reason(
        N_("Courtyard made a mistake while decoding it."),
        N_("Please report it together with the message. All other messages go on."),
    ),
}
UNKNOWN = Reason(N_("It could not be decoded."), N_("Try a profile on it, and compare what was found and expected."))
"""For the code of another version."""


def reason_of(code: str) -> Reason:
    return REASONS.get(code, UNKNOWN)
