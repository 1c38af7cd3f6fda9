"""Gauges: edges to a small part of a pixel, millimetres with an uncertainty, parts as they lie."""
