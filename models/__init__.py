"""Reference victims: architectures, attacks, training, weights and their cards.

`networks` lists the architectures, `attacks` holds one attack a file, `recipes` names every pair
and says how it is trained: `python -m models.train --recipe NAME`. `datasets`, `augmentation`,
`fitting`, `evaluation` and `cards` are the stages of that command, in this order; `zoo` runs it
for many victims and exports them, `population` for the models that
verdicts are calibrated on, `stamping` gives a victim's attack to whoever measures one.
This package is used from a checkout: `hardener` never imports it.
"""
