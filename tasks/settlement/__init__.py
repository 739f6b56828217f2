"""Settlement: the fund's claims match what the patient has, and the ledger matches the fund."""
