"""What `./go bench NAME` runs. Each measures one thing on this machine and prints what it found."""
