"""What a candidate answered in the shadow, beside the champion, before it is released."""
