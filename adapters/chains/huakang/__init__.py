"""华康示范连锁: files in a box (CSV, Excel); orders go out, stock and updates come in."""
