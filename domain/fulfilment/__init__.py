"""What pharmacies owe a patient: portions of prescribed lines, what carries them, and what the platform owes next."""
