"""Binary frames: a struct layout compiled to runs of `struct.Struct`, with integrity, counts, groups, optional tail.

A frame decodes to a dict. Numbers stay raw numbers; `hex` becomes upper-case digits (reversed where the field itself
says `endian: little`, so that a little-endian id reads as people print it), `bcd` its digits, `ascii` and `text` their
text without padding.
"""

from gateway.decode.frames.decoder import Suspect, frame_decoder
from gateway.decode.frames.steps import LARGEST_COUNT, MOST_VALUES

__all__ = ["LARGEST_COUNT", "MOST_VALUES", "Suspect", "frame_decoder"]
