"""What holds for the releases of a model, whoever asks for them."""
