"""Why do two denoisers agree? Patch denoisers, principal directions and the probability flow."""
