"""A pose rule of one's own, and somebody who is told: hands on the head.

# head.yaml
pipeline: pose
rules: [own_rule:hands_on_head, crossed_arms, hands_up]
signals:
  stop: {on: [hands_on_head, crossed_arms], off: [hands_up]}
subscribe: {signal: own_rule:line}
reference_size: [640, 360]
"""

from edgelane.core import Event
from edgelane.pipelines.pose import Body, rule


@rule(after_s=0.5)
def hands_on_head(body: Body):
    """Both wrists within a tenth of the person's height of the face; None if that is not seen."""
    apart = max(body.apart("left_wrist", "face"), body.apart("right_wrist", "face"))
    return apart < 0.1 if apart == apart else None


def line(event: Event) -> None:
    """Called with every change of a signal; a real one would switch an output."""
    print(event.payload["name"], "on" if event.payload["on"] else "off", event.payload["by"])
