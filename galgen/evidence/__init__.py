"""What is asked of the models of an experiment, one family of questions a file: numbers, before any words."""
