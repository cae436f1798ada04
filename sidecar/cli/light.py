"""msgspec, loaded without `typing_extensions`: a third of the time that a command needs to start.

msgspec asks for it where it is installed, only for annotations that `typing` itself has since
Python 3.11, and it brings `inspect`, `ast` and `dis` with it: 10 of the 40 ms that `import msgspec`
takes. Imported before anything that imports msgspec; whoever wants `typing_extensions` later gets
it.
"""

import sys

if sys.version_info >= (3, 11) and "typing_extensions" not in sys.modules:
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules["typing_extensions"]
