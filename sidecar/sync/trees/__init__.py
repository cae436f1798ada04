"""The three trees: base, what is here, and what is there."""
