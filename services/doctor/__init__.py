"""What is wrong with this installation, and what to do: facts are gathered, judged, and told in plain words."""
