"""Whose frame the model looks at next, with which others, and which frame has to go.

    camera ── Capture ──┐                        ┌── worker ──┐
    camera ── Capture ──┼── Desk (a Scheduler) ──┼── worker ──┼── lines, in order ── Crew.work
    file   ── Capture ──┘                        └── worker ──┘

`Scheduler` and `Batching` decide, without a thread or a clock of their own; `Desk` puts a lock
around them; `Capture` and the workers of `Crew` are the threads.

**Order.** A camera's frames are taken in order, each into the line of its camera, and passed on
from the head of that line: however long a frame takes, the pipeline sees one after another.

**Fair.** Each camera gets the same share of the model, or one in proportion to its `priority`
(self-clocked fair queueing: Golestani, "A self-clocked fair queueing scheme for broadband
applications", INFOCOM 1994). What a slow camera does not need goes to the others; a fast one
cannot crowd it out. Whatever the priorities, who has waited for a second is next.

**Rate.** With `fps` a camera's frames are taken at an even pace (`Pace`). Those in between are
`skipped`, which is no loss but what was asked for, and cost no copy where the source can tell
beforehand.

**Drops.** The world does not wait, so a live camera's frame that has waited for longer than
`latency_ms` makes way for a newer one of the same camera, and at most `MOST_WAITING` wait. So the
model always looks at what is new, a burst is not lost while there is time, and the frames that are
dropped lie evenly. Each is counted. A file waits instead: none of its frames is ever dropped.

**Batches.** Where a model takes several pictures a run, frames that wait anyway are run together.
None is held back for it: while the device keeps up, a frame is looked at at once; when it does
not, frames wait, and those are the batch. Whether that pays is measured: now and then frames that
wait are run both ways, one after the other on the same thread. On a CPU it rarely does, and then
frames go one by one. A batch is no larger than the latency budget allows. Frames of files go in
batches only where the outputs are the same to the bit, so that their events stay the same however
fast the device is.

**Bounds.** What waits and what is under way is bounded for each camera, so memory does not grow
when the device is behind.
"""

from .batching import Batching
from .crew import Crew
from .pace import Pace
from .policy import Pick, Scheduler, Turn

__all__ = ["Batching", "Crew", "Pace", "Pick", "Scheduler", "Turn"]
