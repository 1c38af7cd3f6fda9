"""Short clips around events, with people pixelated, within a budget of disk."""
