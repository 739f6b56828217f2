"""The operators' room: the board, the prescriptions, the runs, the codes that wait for a person."""
