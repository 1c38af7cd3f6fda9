"""Models that edgelane trains itself, from nothing but rendered scenes.

`python -m edgelane.export.zoo.train --out DIR` renders, trains, exports and measures a small
detector of people; `python -m edgelane.export.zoo.evaluate` measures one.
"""
