"""What devices are told to do, and how it fares, from the wish to the effect that telemetry shows."""
