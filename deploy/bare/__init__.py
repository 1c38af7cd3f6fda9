"""What has to work on a device that has nothing yet but a bare `python3`.

These modules use the standard library alone and run on Python 3.6, as JetPack 4 has it. A desk
sends their text over ssh; the rest of edgelane uses them as modules like any other.
"""
