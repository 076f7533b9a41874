"""Where the break is: what services remember of each device's presence, and one alarm per broken link."""
