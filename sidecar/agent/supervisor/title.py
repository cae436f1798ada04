"""What `ps` shows of a process that was started before it was known what for.

The kernel shows the memory that the command line was put in when the process began. On Linux
/proc/self/stat says where that is, so a word of it that was left for the purpose can be written
over. Nothing is written where that word is not found there.
"""

ROOM = b"waits-for-a-job".ljust(64, b".")
"""Stands on the command line until it is known better; a job's id is at most as long."""

_ARGUMENTS, _END = 45, 46
"""Positions in /proc/PID/stat, counted from behind the command's name."""


def show(word: str) -> bool:
    """Puts a word where ROOM stands; whether that could be done."""
    wanted = word.encode("ascii", "replace")
    try:
        import ctypes

        with open("/proc/self/stat", "rb") as file:
            text = file.read()
        fields = text[text.rfind(b")") + 2 :].split()
        begin, end = int(fields[_ARGUMENTS]), int(fields[_END])
        if not 0 < end - begin < 1 << 20:
            return False
        at = ctypes.string_at(begin, end - begin).find(b"\0" + ROOM + b"\0")
        if at < 0 or len(wanted) > len(ROOM):
            return False
        ctypes.memmove(begin + at + 1, wanted.ljust(len(ROOM), b"\0"), len(ROOM))
    except (ImportError, OSError, ValueError, IndexError):
        return False
    return True
