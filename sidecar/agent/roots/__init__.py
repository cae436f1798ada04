"""What is in a project's folder, read without following a link and told as it changes."""
