"""Denoising gap and its onset in long trainings of small networks."""
