"""Memory, streams and graphs of a CUDA device behind one seam, whatever library serves it."""
