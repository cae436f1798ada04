"""What changes, noticed on both sides: watches here, the agent's word from there."""
