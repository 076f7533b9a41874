"""The whole stack from programs installed on this machine, without containers."""
