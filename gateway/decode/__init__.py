"""Pure decoding: compiled device profiles and a raw message in, readings or one DecodeError out."""

from gateway.decode.decoder import LARGEST_PAYLOAD, Decoder
from gateway.decode.errors import DecodeError

__all__ = ["LARGEST_PAYLOAD", "DecodeError", "Decoder"]
