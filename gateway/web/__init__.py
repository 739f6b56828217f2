"""What every room and every door stands on: rendering, words, access, errors. Knows none of them."""
