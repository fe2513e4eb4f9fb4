"""How good a model is: accuracy, attack success rate and robust accuracy, with intervals."""
