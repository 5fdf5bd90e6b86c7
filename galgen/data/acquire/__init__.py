"""Galaxies from elsewhere: the user's files and the survey's cut-outs."""
