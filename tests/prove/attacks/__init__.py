"""What an attacker, or a broken interface, may send to each door."""
