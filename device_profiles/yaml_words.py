"""What a YAML parser complains about, in the words of somebody who wrote a profile or a site file."""

from __future__ import annotations


def in_words(problem: str, context: str | None = None) -> tuple[str, str] | None:
    """(found, expected) for the usual slips; None for what the parser says well enough itself."""
    if "'\\t'" in problem:
        return "a tab", "blanks: YAML indents with them only"
    if "end of stream" in problem and "scalar" in (context or ""):
        return "a quote that is not closed", "the same quote at the end of the text"
    if "mapping values are not allowed" in problem:
        return "a colon where none can stand", "the key in line with its neighbours, or quotes around a text with ': '"
    if "<block end>" in problem and "block" in (context or ""):
        return "a line that is in line with none above", "the same indentation as its neighbours, by blanks"
    if "could not find expected ':'" in problem:
        return "a line without a colon", "key: value"
    return None
