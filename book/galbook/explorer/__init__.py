"""The controls of `make lab`: the same questions, asked of models live."""
