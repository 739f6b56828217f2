"""Where machines come in: hospitals, chains, Prefect and monitoring. Each door answers in the form of its partner."""
