"""The inbox: where the people of a shop without a system see its orders, act on them, and keep its shelves and hours."""
