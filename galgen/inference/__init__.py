"""Use of trained models outside the book: samples in files, denoised images."""
