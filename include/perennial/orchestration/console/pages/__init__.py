"""What the console shows, as HTML made from records: pure, every text escaped, no script needed."""
