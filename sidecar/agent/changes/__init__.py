"""What the laptop sends: made beside its place, landed in order, told once, undone again."""
