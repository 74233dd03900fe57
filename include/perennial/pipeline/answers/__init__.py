"""What the case does with people's word that no run waits for."""
