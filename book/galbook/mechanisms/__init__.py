"""Why do two denoisers agree? Local machines, directions, and the flow itself."""
