"""`python -m services.demo.play --mqtt URL`: the demo site's equipment, in a process of its own, as real devices are.

It ends when its stdin closes, which is when the program that started it stops it or dies.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading

from device_profiles.library import SHIPPED, load
from gateway.ears import Ears
from gateway.mqtt_client import MqttPublisher
from gateway.simulator import filters_for, run_simulation
from services.clock import SystemClock, to_millis
from services.demo import SITE
from services.demo.script import demo_script
from services.sites.importer import device_entries, read_site
from services.startup import collector_at_rest

SEED = 430


def play(mqtt_url: str, stopping: threading.Event) -> None:
    """Play the site and its script over the broker until `stopping`."""
    with collector_at_rest():
        library = load(SHIPPED)
        entries = device_entries(read_site(SITE, library))
    clock = SystemClock()
    with MqttPublisher(mqtt_url, "courtyard-demo") as publisher:
        # What is said before anybody listens is lost to them, and the script's clock would have started.
        while not publisher.wait_connected(0.5):
            if stopping.is_set():
                return
        with Ears(mqtt_url, "courtyard-demo-ears", filters_for(entries, library)) as ears:
            now = lambda: to_millis(clock.now())  # noqa: E731 - handed on
            run_simulation(entries, library, publisher, demo_script(), SEED, stopping, clock=now, ears=ears)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.demo.play", description="Plays the demo site")
    parser.add_argument("--mqtt", required=True, metavar="URL")
    arguments = parser.parse_args()
    stopping = threading.Event()
    threading.Thread(target=_until_stdin_closes, args=(stopping,), daemon=True).start()
    try:
        play(arguments.mqtt, stopping)
    except KeyboardInterrupt:
        stopping.set()


def _until_stdin_closes(stopping: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 64):
        pass
    stopping.set()


if __name__ == "__main__":
    main()
