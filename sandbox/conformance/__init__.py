"""A hospital's certification: it lives through a day at a platform of its own, and what went over the line is judged."""
