"""Programs that run on the remote and outlive the connection."""
