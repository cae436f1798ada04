"""The face that editors see. It translates; it decides nothing."""
