"""Where machines come in: hospitals, chains, Prefect's bell, whoever watches. Each door answers in its partner's form."""
