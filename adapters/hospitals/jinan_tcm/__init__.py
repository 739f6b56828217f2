"""示范市中医医院: WS/T 500.5 and 500.6 documents, pushed by SOAP or offered for poll."""
