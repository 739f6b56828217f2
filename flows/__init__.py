"""What operations start, schedule, watch and search. The one home of Prefect."""
