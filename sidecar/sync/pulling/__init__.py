"""What comes here: fetched beside all else, landed between two steps."""
