"""This machine's disk: read without following a link, changed so that nothing is lost."""
