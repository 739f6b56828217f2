"""Each person's own room: enrolment and the account."""
