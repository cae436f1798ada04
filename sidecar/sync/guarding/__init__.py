"""What is not done unasked, and what is said of it: guards, first contact, notes."""
