"""The demo's own room: real flights, how they are delivered, and what may go wrong with a delivery."""
