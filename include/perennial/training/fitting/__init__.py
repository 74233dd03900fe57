"""A recipe in a process of its own: frozen, without the secrets of its parent, bounded in time."""
