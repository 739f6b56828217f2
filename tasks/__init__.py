"""The steps of the line: load, decide with the domain, call a partner, record. Thin; knows no Prefect."""
