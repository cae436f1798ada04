"""The repository beside the files: read, and brought after the laptop's."""
