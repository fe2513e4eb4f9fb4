"""Trigger inversion: for every label the smallest patch, faintest change and slightest warp.

A patch is a mask m and a pattern p in [0, 1],

    t(x) = (1 - m)·x + m·p,           ‖t‖ = ‖m‖₁     (Wang et al. 2019, equations 2 and 3)

and an additive trigger a perturbation δ of the whole image,

    t(x) = clip(x + δ, 0, 1),         ‖t‖ = ‖δ‖₂

which describes blended and sinusoidal triggers, for which masks are large on every label, and a
warp a coarse grid d of displacements, spread smoothly over the image,

    t(x)[i, j] = x[(i, j) + d(i, j)],           ‖t‖ = root mean square of d

as in Nguyen and Tran 2021 (WaNet), section 3. One file a family of triggers; `table` names them.
"""
