"""Maintenance windows: while people work on something, it is expected to look broken. Data are kept, rules go on
judging; alarms wait until the window is over, and what is still wrong then raises."""
