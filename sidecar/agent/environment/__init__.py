"""Which Python runs a job, and with which variables."""
