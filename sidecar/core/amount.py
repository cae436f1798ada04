"""Amounts as people read them."""


def size(count: int) -> str:
    """Bytes, decimal: 950 B, 12.3 KB."""
    amount = float(count)
    for unit in ("B", "KB", "MB"):
        if amount < 1000:
            return "%.0f %s" % (amount, unit) if unit == "B" else "%.1f %s" % (amount, unit)
        amount /= 1000
    return "%.1f GB" % amount
