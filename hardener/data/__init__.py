"""Pictures come in: image sets, preprocessing and triggers."""
