"""The way to a host: resolving its name, dialling, signing in, transports."""
