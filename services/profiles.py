"""The profiles this installation knows: the shipped ones and the user's own, proven by their samples."""

from __future__ import annotations

from collections.abc import Mapping

from device_profiles.library import SHIPPED, load
from device_profiles.schema import DeviceProfile
from gateway.commands.samples import prove
from services.settings import Settings


class ProfileSamplesFail(Exception):
    """Profiles whose own samples do not decode as they say: they do not load."""

    def __init__(self, failures: list[str]) -> None:
        super().__init__("\n".join(failures))
        self.failures = failures


def load_library(settings: Settings) -> Mapping[str, DeviceProfile]:
    """Shipped profiles and the user's own. Raises ProfileMistakes, or ProfileSamplesFail."""
    own = [settings.profiles_dir] if settings.profiles_dir else []
    library = load(SHIPPED, *own)
    failures = [f"{profile.id}: {failure}" for profile in library.values() for failure in prove(profile)]
    if failures:
        raise ProfileSamplesFail(failures)
    return library
