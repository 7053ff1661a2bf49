"""Text from outside, made safe for a line of a log or of a terminal."""

#: Of a value. Longer ones are attacks.
MAX_CHARS = 1000


def printable(text: str, *, max_chars: int = MAX_CHARS) -> str:
    """Return one line of at most `max_chars`.

    Characters that a terminal would obey are escaped: controls (C0, C1), line separators, text direction.
    """
    start = text[:max_chars]
    if not start.isprintable():
        start = "".join(each if each.isprintable() else _escape(each) for each in start)
    is_cut = len(text) > max_chars or len(start) > max_chars
    return f"{start[: max_chars - 1]}…" if is_cut else start


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
