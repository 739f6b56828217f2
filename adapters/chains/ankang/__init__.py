"""安康示范连锁: snake_case, whole fen, English words, says yes later."""
