"""The explorer: questions to the trained models, answered live."""
