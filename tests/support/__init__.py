"""What several tests stand on: a small city, fakes of partners, real services, messages and records."""
