"""A hospital's certification: it lives through a day at a separate platform, and the messages of that day are judged."""
