"""Commands at the gateway: from an order of services to a message on the broker, once and in time."""

from gateway.commands.encode import CommandMistake, encode_command

__all__ = ["CommandMistake", "encode_command"]
