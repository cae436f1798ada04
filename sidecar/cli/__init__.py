"""The face that shells see. It translates; it decides nothing."""
