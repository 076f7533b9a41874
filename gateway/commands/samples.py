"""A profile proves its commands: each must become the message that its sample says."""

from __future__ import annotations

from device_profiles.schema import DeviceProfile, Sample
from gateway.commands.encode import CommandMistake, encode_command
from gateway.decode.samples import SAMPLE_RECEIVED_AT, check_samples, sample_payload
from gateway.reading import DeviceEntry


def prove(profile: DeviceProfile) -> list[str]:
    """What failed of all samples, messages and commands alike; empty when they hold."""
    return check_samples(profile) + check_commands(profile)


def check_commands(profile: DeviceProfile) -> list[str]:
    """What failed, in words; empty when every command becomes what the profile says."""
    return [
        f"sample {sample.name!r}: {failure}"
        for sample in profile.samples
        if sample.said is not None
        for failure in _failures(profile, sample)
    ]


def _failures(profile: DeviceProfile, sample: Sample) -> list[str]:
    said = sample.said
    assert said is not None
    device = DeviceEntry("sample", profile.id, said.address, "site", params=dict(sample.params))
    try:
        wanted = sample_payload(sample)
        topic, payload = encode_command(
            profile,
            said.command,
            device,
            said.child,
            said.params,
            id=said.id,
            nonce=said.nonce,
            captures=said.captures,
            now=SAMPLE_RECEIVED_AT,
        )
    except (CommandMistake, ValueError) as error:
        return [str(error)]
    out = [] if topic == sample.topic else [f"found the topic {topic!r}, expected {sample.topic!r}"]
    if payload != wanted:
        out.append(f"found {_shown(payload, sample)}, expected {_shown(wanted, sample)}")
    return out


def _shown(payload: bytes, sample: Sample) -> str:
    return payload.hex() if sample.hex is not None else repr(payload.decode("utf-8", "replace"))
