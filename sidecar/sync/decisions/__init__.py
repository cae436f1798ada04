"""What people ask and decide of single paths: why, diff, resolve, undo."""
