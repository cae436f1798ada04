"""Where a chunk of bytes may be cut without cutting a character in two."""

_LONGEST = 4
"""Bytes of the longest UTF-8 sequence."""


def whole_characters(data: bytes) -> int:
    """How many leading bytes of `data` do not end within a UTF-8 sequence.

    Only the last three bytes are looked at: data that is no UTF-8 at all is never held back
    further than that, and data that ends with a whole character or with garbage not at all.
    """
    length = len(data)
    for back in range(1, min(_LONGEST, length) + 1):
        byte = data[length - back]
        if byte < 0x80:
            return length
        if byte >= 0xC0:
            # 110xxxxx begins two bytes, 1110xxxx three, 11110xxx four; more begins none.
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4 if byte < 0xF8 else 1
            return length - back if needed > back else length
    return length
