"""Import of the user's images and download of survey cut-outs."""
