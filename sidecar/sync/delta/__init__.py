"""Contents, and what differs between two of them: signatures, matches, and what of them is sent."""
