"""What all hospitals of one dialect share: envelope, framing, parsing. A hospital's own facts are in its folder."""
