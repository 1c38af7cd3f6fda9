"""Events to a web address: at least once, in order, signed."""
