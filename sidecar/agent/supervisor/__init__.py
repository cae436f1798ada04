"""The process that owns one job, and what it keeps of it."""
