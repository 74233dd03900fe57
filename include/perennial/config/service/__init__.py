"""Parts of the section ``serving`` that are sections of their own."""
