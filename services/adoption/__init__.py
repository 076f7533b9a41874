"""New devices: heard, not placed yet; adopted into a site, left out, forgotten, replaced."""
