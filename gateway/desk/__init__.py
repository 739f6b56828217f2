"""The pharmacists' room: the queue, one prescription under review, the decision."""
