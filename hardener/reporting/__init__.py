"""Documents as text for people and for other machines: pure functions, nothing is measured here."""
