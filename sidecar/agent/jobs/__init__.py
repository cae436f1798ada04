"""Jobs as the agent sees them: started, listed, shown, spoken to."""
