"""What happened at devices: events, kept for a stated time, on their pages and in the API."""
