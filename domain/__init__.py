"""What is true without any technology: the lifecycle, the rules, the money. Standard library only."""
