"""Steps: both sides looked at, reconciled and acted upon; and the meeting that comes before."""
