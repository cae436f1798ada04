"""Ways from this machine to ports and sockets of the remote one, and servers that are met there."""
