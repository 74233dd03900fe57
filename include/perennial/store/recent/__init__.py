"""What pages show of many models at once: the newest of each, by index, in one statement for all."""
