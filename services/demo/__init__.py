"""The demo: a site of a real size, and a script that shows a visitor in a minute what Courtyard is for."""

from pathlib import Path

SITE = Path(__file__).with_name("osmanthus.yaml")
"""The site file of the demo."""
SITE_ID = "osmanthus"
