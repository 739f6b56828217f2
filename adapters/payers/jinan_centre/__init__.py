"""济南示范医保中心: the national FSI envelope, 9001 to 3201."""
