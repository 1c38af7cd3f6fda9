"""The report of a run: what it tells, what it must not do."""

import json
import os
import re
import time
from html.parser import HTMLParser

import pytest

from edgelane.core import StorageError
from edgelane.dashboard import write_report
from edgelane.runtime.journal import Journal

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Text, tables and attributes of a page, and whether its tags are balanced."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.words, self.rows, self.data = [], [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            self.data += data
        elif inside not in ("style", "title") or "svg" in self.open:
            self.words.append(data)
            if any(t in ("td", "th") for t in self.open):
                self.rows[-1][-1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def cards(self):
        """Headline figures of the first list of them: `{label: value}`."""
        found = re.search(r"<ul class=\"cards\">(.*?)</ul>", self.rawdata_, re.S).group(1)
        return dict(re.findall(r"<span>(.*?)</span><strong>(.*?)</strong>", found))


def page_of(folder):
    text = write_report(folder).read_text(encoding="utf-8")
    page = Page(text)
    page.rawdata_ = text
    return page


def test_its_figures_are_those_of_summary_json(run_folder):
    page = page_of(run_folder)
    summary = json.loads((run_folder / "summary.json").read_text())
    told = json.loads(page.data)
    assert told["lines"] == summary["lines"]
    assert told["visitors"] == summary["visitors"]
    assert told["passers_by"] == summary["passers_by"]
    for name, zone in summary["zones"].items():
        assert told["zones"][name]["entries"] == zone["entries"]
        assert told["zones"][name]["occupancy_max"] == zone["occupancy_max"]
        assert told["zones"][name]["dwell_mean_s"] == zone["dwell_mean_s"]
    cards = page.cards()
    assert cards["Visitors"] == str(summary["visitors"])
    assert cards["In"] == str(sum(line["in"] for line in summary["lines"].values()))
    assert cards["Out"] == str(sum(line["out"] for line in summary["lines"].values()))
    assert cards["Passers-by"] == str(summary["passers_by"])
    assert cards["Most at once"] == str(summary["occupancy"]["max"])
    assert sum(line["in"] for line in summary["lines"].values()) > 0


def test_the_table_over_time_adds_up_to_the_summary(run_folder):
    page = page_of(run_folder)
    summary = json.loads((run_folder / "summary.json").read_text())
    total = next(row for row in page.rows if row[0] == "Total")
    lines, zones = summary["lines"], summary["zones"]
    expected = [summary["visitors"]]
    for name in sorted(lines):
        expected += [lines[name]["in"], lines[name]["out"]]
    expected += [zones[name]["entries"] for name in sorted(zones)]
    assert total[1:] == [str(v) for v in expected]
    rows = page.rows[: page.rows.index(total)]
    rows = [r for r in rows if re.fullmatch(r"\d:\d\d:\d\d", r[0])]
    assert len(rows) == 6  # ten seconds each
    for column, value in enumerate(expected, 1):
        assert sum(int(row[column]) for row in rows) == value


def test_every_part_is_there(run_folder):
    text = page_of(run_folder).text
    for word in (
        "Visitors",
        "In and out",
        "People over time",
        "How long people stay",
        "Where people are",
        "The paths they take",
        "Counts over time",
        "How the run went",
        "88.2 frames a second",
        "nano.onnx",
        "Find people (the model)",
    ):
        assert word in text
    assert "No visit to this zone has ended." in text  # the zone `empty`


def test_it_asks_nothing_of_any_network(run_folder):
    page = page_of(run_folder)
    text = page.rawdata_
    assert not re.search(r"""(?:src|href|action|data)\s*=\s*["']?\s*(?:https?:)?//""", text)
    assert not re.search(r"url\(\s*[\"']?(?!data:)", text)
    assert "@import" not in text and "<script src" not in text
    for tag, attrs in page.tags:
        for name in ("src", "href"):
            value = attrs.get(name) or "#"
            assert value.startswith(("#", "data:")), (tag, value[:60])
        assert not any(name.startswith("on") for name in attrs)
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv"))
    assert "default-src 'none'" in policy and "script-src" not in policy


def test_names_are_text_and_never_markup(tmp_path, make_run):
    bad = """<img src=x onerror="alert(1)">'}</style></script><script>alert(2)</script>"""
    lines = {bad: ((320, 40), (320, 340))}
    zones = {bad + "z": [(40, 120), (280, 120), (280, 330), (40, 330)]}
    events, part = make_run.walk(bad, lines=lines, zones=zones)
    events.append(make_run.Event(bad, 61.0, bad + "kind", {"class": bad}))
    events.append(make_run.Event(bad, 61.0, "gap", {"from": 60, "to": 61, "reason": bad}))
    summary = {**part, **make_run.RUN, "warnings": [bad], "run": {bad: bad, "x": [bad]}}
    drawn = {bad: make_run.shapes(lines, zones)}
    page = page_of(make_run.put(tmp_path, events, summary, drawn))
    assert not any(tag == "img" for tag, _ in page.tags)
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "figures"}]
    assert json.loads(page.data)["lines"] == part["lines"]
    assert page.text.count("<script>alert(2)</script>") >= 5


def test_the_same_run_gives_the_same_bytes(run_folder):
    first = write_report(run_folder).read_bytes()
    assert write_report(run_folder).read_bytes() == first


def test_several_cameras_stand_one_by_one_under_their_total(tmp_path, make_run):
    a_events, a = make_run.walk("entrance")
    b_events, b = make_run.walk("back", seconds=20.0, lines={}, zones={})
    visitors = a["visitors"] + b["visitors"]
    summary = {"cameras": {"entrance": a, "back": b}, "visitors": visitors, "passers_by": 3}
    drawn = {"entrance": make_run.shapes(), "back": make_run.shapes({}, {})}
    page = page_of(make_run.put(tmp_path, a_events + b_events, summary, drawn))
    told = json.loads(page.data)
    assert told["visitors"] == visitors
    assert told["cameras"]["entrance"]["lines"] == a["lines"]
    assert page.cards()["Visitors"] == str(visitors)
    assert page.cards()["Passers-by"] == "3"
    row = next(r for r in page.rows if r[0] == "back")
    assert row[1:4] == [str(b["visitors"]), "–", "–"]
    assert "No line is drawn for this camera" in page.text
    assert "No zone is drawn for this camera" in page.text


def test_a_run_without_frames_says_so(tmp_path, make_run):
    summary = {"frames": 0, "duration_s": 0.0, "lines": {"door": {"in": 0, "out": 0}}}
    summary.update(zones={}, visitors=0, warnings=["The file holds no pictures."])
    page = page_of(make_run.put(tmp_path, [], summary, {"camera": make_run.shapes()}))
    assert "No frame was seen" in page.text
    assert "The file holds no pictures." in page.text
    assert page.cards()["Visitors"] == "0"
    assert not any(tag == "figure" for tag, _ in page.tags)


def test_an_empty_journal_without_summary_is_reported(tmp_path, make_run):
    page = page_of(make_run.put(tmp_path, []))
    assert "There is no summary of this run yet" in page.text
    assert "Nothing was journalled" in page.text


def test_a_run_that_was_cut_off_is_told_from_its_journal(tmp_path, make_run, walked):
    events, part = walked
    page = page_of(make_run.put(tmp_path, events, None, {"camera": make_run.shapes()}))
    assert "still going on, or was cut off" in page.text
    told = json.loads(page.data)
    assert told["lines"] == part["lines"]
    assert told["visitors"] == part["visitors"]
    assert told["passers_by"] == part["passers_by"]
    assert {k: v["entries"] for k, v in told["zones"].items()} == {
        k: v["entries"] for k, v in part["zones"].items()
    }


def test_an_interrupted_run_and_its_warnings_stand_on_top(tmp_path, make_run, walked):
    events, part = walked
    summary = {**part, "interrupted": True, "warnings": ["12 frames were dropped."]}
    page = page_of(make_run.put(tmp_path, events, summary, {"camera": make_run.shapes()}))
    assert "The run was interrupted before its end" in page.text
    assert page.text.index("12 frames were dropped.") < page.text.index("Visitors ")


def test_a_summary_that_disagrees_with_the_journal_is_told(tmp_path, make_run, walked):
    events, part = walked
    page = page_of(make_run.put(tmp_path, events, {**part, "visitors": 99}))
    assert "The summary says 99 for visitors" in page.text
    assert page.cards()["Visitors"] == "99"


def test_a_broken_summary_does_not_stop_the_report(tmp_path, make_run, walked):
    folder = make_run.put(tmp_path, walked[0])
    (folder / "summary.json").write_text('{"frames": ')
    assert "summary.json cannot be read" in page_of(folder).text


def test_gaps_make_counts_a_lower_bound(tmp_path, make_run, walked):
    events, part = walked
    gap = {"from": 30.0, "to": 510.0, "reason": "the camera did not answer"}
    events = [*events, make_run.Event("camera", 510.0, "gap", gap)]
    page = page_of(make_run.put(tmp_path, events, part))
    assert "8 minutes are missing, so every count here is a lower bound" in page.text
    assert ["0:00:30 – 0:08:30", "8 min", "the camera did not answer"] in page.rows


def test_other_pipelines_get_their_kinds_counted(tmp_path, make_run):
    events = [
        make_run.Event("yard", float(i), "object", {"class": "car" if i % 3 else "truck"}, i)
        for i in range(30)
    ]
    summary = {"frames": 300, "duration_s": 30.0, "objects": {"car": 20, "truck": 10}}
    page = page_of(make_run.put(tmp_path, events, summary))
    assert page.cards() == {"car": "20", "truck": "10"}
    assert ["object", "30", "0:00:00", "0:00:29"] in page.rows
    assert "Passer-by" not in page.text


def test_payloads_of_an_unknown_form_are_counted_as_such(tmp_path, make_run):
    bad = [
        {"line": "door", "direction": "in"},
        {"line": "door"},
        {"line": "door", "direction": "up", "track": 1},
    ]
    events = [make_run.Event("camera", float(i), "crossing", p) for i, p in enumerate(bad)]
    events.append(make_run.Event("camera", 4.0, "track", {"path": [[0, 1]]}))
    events.append(make_run.Event("camera", 5.0, "heatmap", {"grid": [0, 0], "size": [1, 1]}))
    page = page_of(make_run.put(tmp_path, events, {}))
    assert "Events in an unknown form 5" in page.text
    assert json.loads(page.data)["lines"] == {}


def test_live_cameras_are_told_in_local_time(tmp_path, make_run, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")  # hours begin at half past those of UTC
    time.tzset()
    try:
        events, part = make_run.walk(start=1750000000.0)
        page = page_of(make_run.put(tmp_path, events, part, clock="unix"))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "UTC+05:30" in page.text
    assert any(row[0] == "20:36:40" for row in page.rows)  # 15:06:40 UTC
    assert "15 Jun 2025" in page.text


def test_the_picture_of_the_scene_is_stored_once(tmp_path, make_run, walked):
    events, part = walked
    jpeg = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40
    pictures = {"camera": jpeg}
    drawn = {"camera": make_run.shapes()}
    page = page_of(make_run.put(tmp_path, events, part, drawn, pictures=pictures))
    assert page.rawdata_.count("data:image/jpeg;base64,") == 1
    assert [a["href"] for t, a in page.tags if t == "use"] == ["#camera-1-picture"] * 2


def test_a_folder_without_a_journal_is_refused(tmp_path):
    with pytest.raises(StorageError, match=r"events\.db does not exist"):
        write_report(tmp_path)


def test_the_old_report_survives_a_failed_write(run_folder, monkeypatch):
    path = write_report(run_folder)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="cannot be written.*No space left"):
        write_report(run_folder)
    assert path.read_bytes() == before
    assert not list(run_folder.glob(".report*"))


def test_it_can_be_written_while_the_run_goes_on(run_folder, make_run):
    with Journal(run_folder / "events.db") as journal:
        journal.write("camera", 999, 99.0, [make_run.Event("camera", 99.0, "late", {})])
        assert ["late", "1", "0:01:39", "0:01:39"] in page_of(run_folder).rows
