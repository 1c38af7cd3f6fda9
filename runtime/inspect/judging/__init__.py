"""Judging: parts found, each check of a recipe in turn, one verdict with its reasons."""
