"""A version that was approved takes office by shares of the requests, and is taken back when it does harm."""
