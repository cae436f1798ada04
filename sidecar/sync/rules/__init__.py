"""Which paths are synced, and which come from the remote: rules of files and settings."""
