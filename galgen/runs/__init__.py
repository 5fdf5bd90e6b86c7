"""What runs and what it leaves: trainings, checkpoints, the store. Imports no other room."""
