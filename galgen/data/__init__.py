"""Galaxy images: acquisition, simulation, preprocessing and data sets."""
