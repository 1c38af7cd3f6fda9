"""Releases: what was made at a desk becomes a bundle, and a bundle a release on a device.

In comes a config with its models; out comes a device that runs them, whole and proved, or goes on
with what it ran before. Nothing here counts or sees: the golden clip is replayed by `runtime` and
`pipelines`.
"""
