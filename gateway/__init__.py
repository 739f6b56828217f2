"""The door: hospitals, chains, pharmacists and operators come in over HTTP."""
