"""Values and functions of values that both ends share. Standard library, Python 3.8, no I/O."""
