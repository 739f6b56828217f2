"""Technology, one home each: settings, database, objects, http, crypto, log."""
