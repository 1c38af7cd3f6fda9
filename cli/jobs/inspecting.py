"""What an inspection's run does beside judging: outputs, pictures of rejects, challenges."""

import contextlib
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np

from ...core import Event
from ...runtime.digital import Rejecter, open_input, open_output
from ...runtime.digital.base import Encoder
from ...runtime.digital.reject import Driver, Heartbeat
from ...runtime.digital.trigger import Triggered
from ...runtime.inspect.judging.rejects import RejectFolder, around, reject_picture
from ...runtime.inspect.recipe.config import LoadedRecipe, Recipe, load_recipe
from ...runtime.journal import Journal
from ...runtime.loop import Step
from ...runtime.timezones import Zone
from .challenge import run_challenge
from .shifts import Shifts

REJECTS = "rejects"
PATIENCE_S = 60.0  # for a challenge that is judged when the run ends
LOOKS = 400  # parts in pictures that are remembered until their verdict comes


class Station:
    """One inspection's run: a context that holds its lines.

    Args:
        config: The recipe's.
        settings: Its own keys.
        source: The camera.
        camera: Its name.
        folder: The run folder.
        journal: Where challenges are noted.
    """

    def __init__(
        self, config: Any, settings: Recipe, source: Any, camera: str, folder: Path,
        journal: Journal,
    ) -> None:  # fmt: skip
        self.recipe: LoadedRecipe = load_recipe(config)
        self.settings, self.source, self.camera = settings, source, camera
        self.live = bool(source.live)
        self.folder, self.journal = folder, journal
        self.rejecter: Optional[Rejecter] = None
        self.heartbeat: Optional[Heartbeat] = None
        self.rejects = RejectFolder(folder / REJECTS, settings.rejects.megabytes)
        self._looks: Dict[Any, Any] = {}
        self._stack = contextlib.ExitStack()
        self._challenging: Optional[threading.Thread] = None
        self._challenged: List[Dict[str, Any]] = []
        asked = settings.challenge
        zone = Zone(self.recipe.config.service.timezone)
        self._shifts_of_day = Shifts([] if asked is None else asked.shifts, zone)
        self._numbers = 0
        self._told_drift = False

    def __enter__(self) -> "Station":
        try:
            if self.live:
                self._open_lines()
            elif self.settings.outputs.reject or self.settings.outputs.heartbeat:
                self.source.warnings.append(
                    "The outputs of the recipe are left alone: this source is no live camera."
                )
            if self.settings.challenge is not None:
                self._note(run_challenge(self.recipe), "start of the run", time.time())
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: Any, *error: object) -> None:
        if self._challenging is not None and kind is None:
            self._challenging.join(PATIENCE_S)
            with contextlib.suppress(Exception):
                self._note_judged()
        if self.rejecter is not None:
            # The line stands in its safe state once nobody judges any more.
            with contextlib.suppress(Exception):
                self.rejecter.fail()
        if self.heartbeat is not None:
            with contextlib.suppress(Exception):
                self.heartbeat.stop()
        self._stack.close()

    def sink(self, step: Step) -> None:
        """A sink of the run loop."""
        now = time.monotonic()
        if self.heartbeat is not None and step.observation is not None:
            self.heartbeat.beat(now)
        for event in step.events:
            if event.kind == "verdict" and self.rejecter is not None:
                reject = self.settings.outputs.reject
                assert reject is not None
                seen = event.payload["seen"] - time.time() + now
                out = event.payload["verdict"] in reject.on
                self.rejecter.part(event.payload["part"], out, seen, time.monotonic())
        self._remember(step)
        for event in step.events:
            if event.kind == "verdict" and event.payload["verdict"] != "pass":
                self._keep(event, step)
            elif event.kind == "condition" and event.payload["state"] == "drifted":
                self._drifted(event)
        if self.settings.challenge is not None and self.live:
            self._shifts()

    def facts(self) -> Dict[str, Any]:
        """What the summary tells."""
        told: Dict[str, Any] = {}
        if self.rejecter is not None:
            told["output"] = self.rejecter.facts()
        if isinstance(self.source, Triggered):
            told["triggers"] = {"edges": self.source.triggers, "unseen": self.source.unseen}
        return told

    def _open_lines(self) -> None:
        reject, beat = self.settings.outputs.reject, self.settings.outputs.heartbeat
        moving: List[Any] = []
        if reject is not None:
            safe = reject.safe == "on"
            line = open_output(reject.chip, reject.line, safe, reject.active_low)
            self._stack.callback(line.close)
            encoder = None
            if reject.encoder is not None:
                encoder = Encoder(open_input(reject.encoder.chip, reject.encoder.line))
                self._stack.callback(encoder.close)
            self.rejecter = Rejecter(
                line, reject.delay, reject.pulse, safe, encoder,
                reject.encoder.counts if reject.encoder else 0, self._late,
            )  # fmt: skip
            moving.append(self.rejecter)
        if beat is not None:
            line = open_output(beat.chip, beat.line)
            self._stack.callback(line.close)
            self.heartbeat = Heartbeat(line, beat.period, beat.within)
            moving.append(self.heartbeat)
        if isinstance(self.source, Triggered) and self.rejecter is not None:
            self.source.missed = self.rejecter.unseen
        if moving:
            self._stack.enter_context(Driver(time.monotonic, tuple(moving), self._line_failed))

    def _drifted(self, event: Event) -> None:
        if not self._told_drift:
            self.source.warnings.append(event.payload["text"])
        self._told_drift = True

    def _late(self, part: int, late: float) -> None:
        if self.rejecter is not None and self.rejecter.late == 1:
            self.source.warnings.append(
                f"The verdict on part {part} came after the part had passed the output, which went "
                "to its safe state; how many did is told in the summary as `run.output.late`."
            )

    def _line_failed(self, error: BaseException) -> None:
        self.source.warnings.append(f"An output failed: {error}")

    def _remember(self, step: Step) -> None:
        """Keep the looks of parts, of which one may be shown when its verdict comes."""
        seen = step.observation
        if (
            self.settings.by != "arrival"
            or seen is None
            or seen.image is None
            or not self.rejects.room
        ):
            return
        for part in getattr(seen.findings, "parts", ()):
            box = tuple(round(float(v), 1) for v in part.xyxy)
            self._looks[seen.index, box] = around(seen.image, box)
        while len(self._looks) > LOOKS:
            del self._looks[next(iter(self._looks))]

    def _keep(self, event: Event, step: Step) -> None:
        payload = event.payload
        found = self._looks.get((payload["frame"], tuple(payload["box"])))
        seen = step.observation
        if found is None and seen is not None and seen.image is not None:
            if seen.index != payload["frame"]:
                return
            found = (np.ascontiguousarray(seen.image), (0, 0))
        if found is None or not self.rejects.room:
            return
        name = f"{payload['serial']}-{payload['verdict']}.jpg"
        self.rejects.keep(name, reject_picture(found[0], found[1], payload))

    def _shifts(self) -> None:
        """Run the challenge set when a shift begins; its judging leaves the run alone."""
        self._note_judged()
        shift = self._shifts_of_day.begun(time.time())
        if shift is None:
            return

        def judge(shift: str = shift) -> None:
            try:
                told = {"result": run_challenge(self.recipe), "shift": shift}
            except Exception as error:
                # Known parts that nobody could judge prove as little as wrong verdicts on them.
                told = {"error": str(error), "shift": shift}
            self._challenged.append(told)

        self._challenging = threading.Thread(target=judge, name="challenge", daemon=True)
        self._challenging.start()

    def _note_judged(self) -> None:
        for told in self._challenged[:]:
            self._challenged.remove(told)
            if "result" in told:
                self._note(told["result"], told["shift"], time.time())
            else:
                text = f"The challenge set could not be judged ({told['shift']}): {told['error']}"
                self._alarm(text, time.time())

    def _note(self, result: Any, shift: str, now: float) -> None:
        """Journal a challenge; one that failed is an alarm, and the machine is told."""
        stamp = now if self.live else float(self._numbers) * 1e-6
        self._numbers += 1
        payload = {**result.as_dict(), "shift": shift, "at": round(now, 3),
                   **self.recipe.identity()}  # fmt: skip
        self._write(stamp, [Event(self.camera, stamp, "challenge", payload, self._numbers)])
        if not result.passed:
            wrong = "; ".join(w.text for w in result.wrong[:5])
            self._alarm(f"The challenge set failed ({shift}): {wrong}.", now)

    def _alarm(self, text: str, now: float) -> None:
        """Nobody knows whether bad parts are stopped: journal and warnings say so, the line stops.

        Without its heartbeat the machine takes the inspection for gone.
        """
        stamp = now if self.live else float(self._numbers) * 1e-6
        self._numbers += 1
        alarm = {"reason": "challenge", "text": text}
        self._write(stamp, [Event(self.camera, stamp, "alarm", alarm, self._numbers)])
        self.source.warnings.append(text)
        if self.heartbeat is not None:
            self.heartbeat.stop()

    def _write(self, stamp: float, events: List[Event]) -> None:
        position = self.journal.position(self.camera) or (0, stamp)
        self.journal.write(self.camera, position[0], position[1], events)


def triggered(settings: Recipe, source: Any, stack: contextlib.ExitStack) -> Any:
    """The source, waiting for the recipe's digital input where it is a live camera.

    Args:
        settings: The recipe's own keys.
        source: The camera; closed by others.
        stack: Closes the input.
    """
    trigger = settings.trigger
    if settings.by != "input" or not source.live or trigger.input is None:
        return source
    line = open_input(trigger.input.chip, trigger.input.line, trigger.input.edge)
    stack.callback(line.close)
    return Triggered(source, line, trigger.delay, trigger.within)
