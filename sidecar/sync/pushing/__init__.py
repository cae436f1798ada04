"""Changes on their way there, and what a run must find of them."""
