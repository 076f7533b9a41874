"""Writing a device profile: captured messages, and the draft that is made of them. Nothing here speaks to a network."""
