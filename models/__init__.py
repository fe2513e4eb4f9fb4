"""Reference victims: architectures, poisoning, training, weights and their cards.

`alexnet` holds the networks, `badnets` the attack, `recipes` what was trained how;
`python -m models.train --recipe NAME` trains one again. `datasets`, `augmentation`, `fitting`,
`evaluation` and `cards` are the stages of that command, in this order. This package is used
from a checkout: `hardener` never imports it.
"""
