"""One background process per user: links to hosts, sessions of projects, the control socket."""
