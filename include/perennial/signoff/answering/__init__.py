"""What people say to a signoff: in the tags of its version, asked for again and again, and past failed gates."""
