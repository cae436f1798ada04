"""The proxy between an editor's debugger and debugpy on the remote."""
