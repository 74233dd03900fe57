"""A loaded version as something that answers single rows fast, and the proof that it answers as the pipeline does."""
