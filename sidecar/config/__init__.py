"""Settings, their layers, and which of them count only after the person trusted them."""
