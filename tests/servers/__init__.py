"""Real servers for tests, on loopback, each with a home folder and an ssh_config of its own."""
