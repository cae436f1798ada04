"""The agent as seen from here: sending it over, and talking with it."""
