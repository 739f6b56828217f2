"""百草示范药房: camelCase, yuan text, Chinese words, one envelope, says yes at once."""
