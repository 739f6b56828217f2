"""济世示范大药房: SOAP 1.1, yuan, words in capitals, asked for its updates."""
