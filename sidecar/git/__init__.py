"""The project's repository here, and the one there that follows it."""
