"""示范市中心医院: HL7 v2.5.1 over MLLP in GB 18030 or UTF-8, with local codes for drugs, routes, times and units."""
