"""Data, model and plots of the digits example."""
