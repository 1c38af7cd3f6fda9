"""Recipes: the config of an inspection, checked key by key, with what was learnt beside it."""
