"""What runs on the remote: standard library, Python 3.8, imports core alone."""
