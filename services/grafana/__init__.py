"""What Courtyard tells Grafana: which sites there are, and the episodes on the time line."""
