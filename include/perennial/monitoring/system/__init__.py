"""How serving went: latency, errors and memory, as far as the log tells them."""
