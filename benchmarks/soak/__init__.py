"""How a run takes faults: real servers that are killed, stopped and cut, and what came of it."""
