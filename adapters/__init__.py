"""Everything foreign, each behind a small Protocol: transport apart from translation, facts in a manifest."""
