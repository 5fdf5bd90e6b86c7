"""Galaxy images: where they come from and how they become a data set."""
