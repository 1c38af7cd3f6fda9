"""The report in a real browser: it fits a phone, and complains about nothing."""

from pathlib import Path

import pytest

from edgelane.dashboard import write_report

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = [(390, 844), (1280, 900)]


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


def look(browser, path, width, height, **options):
    """Open a report offline; what the browser complained about, asked for, and its page."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, offline=True, **options
    )
    page = context.new_page()
    heard, asked = [], []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    return page, heard, [url for url in asked if not url.startswith(("file:", "data:"))]


OUTSIDE = """() => [...document.querySelectorAll('body *')].filter(e => {
  if (e.closest('.scroll') || e.closest('svg')) return false;
  const box = e.getBoundingClientRect();
  return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5);
}).map(e => e.outerHTML.slice(0, 120))"""

CUT = """() => [...document.querySelectorAll('.x span, .label, .cards strong, .bars b, .bars dt')]
  .filter(e => getComputedStyle(e).display != 'inline')
  .filter(e => e.offsetWidth && e.scrollWidth > e.clientWidth + 1)
  .map(e => e.textContent)"""

OVERLAP = """() => {
  const out = [];
  for (const axis of document.querySelectorAll('.x')) {
    const boxes = [...axis.children].filter(e => e.offsetWidth).map(e => e.getBoundingClientRect());
    for (let i = 1; i < boxes.length; i++)
      if (boxes[i].left < boxes[i - 1].right + 2) out.push(axis.textContent);
  }
  return out;
}"""


@pytest.mark.parametrize("width, height", WIDTHS)
def test_it_fits_and_is_silent(browser, run_folder, width, height):
    page, heard, asked = look(browser, write_report(run_folder), width, height)
    assert heard == [] and asked == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(CUT) == []
    assert page.evaluate(OVERLAP) == []
    page.context.close()


def test_long_names_and_many_cameras_fit_a_phone(browser, tmp_path, make_run):
    long = "the main entrance on the north side, left wing, behind the second escalator"
    word = "Donaudampfschifffahrtsgesellschaftskapitänskajüte" * 2
    events, drawn, cameras = [], {}, {}
    for name in (long, word, "c"):
        lines = {f"{name} {i}": ((100 + 90 * i, 40), (100 + 90 * i, 340)) for i in range(5)}
        zones = {name: [(40, 120), (280, 120), (280, 330), (40, 330)]}
        told, cameras[name] = make_run.walk(name, 30.0, start=1.75e9, lines=lines, zones=zones)
        events += told
        drawn[name] = make_run.shapes(lines, zones)
    summary = {"cameras": cameras, "visitors": 1234567, "warnings": [word], **make_run.RUN}
    folder = make_run.put(tmp_path, events, summary, drawn, clock="unix")
    page, heard, _ = look(browser, write_report(folder), 390, 844)
    assert heard == []
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(OVERLAP) == []
    page.context.close()


def test_text_stands_out_in_light_and_dark(browser, run_folder):
    """WCAG 2.1 asks for a contrast of 4.5 for text of this size."""
    path = write_report(run_folder)
    for scheme in ("light", "dark"):
        page, _, _ = look(browser, path, 1280, 900, color_scheme=scheme)
        colours = page.evaluate(
            """() => ['--ink', '--soft', '--in', '--out', '--card', '--page'].map(name => {
              const probe = document.createElement('i');
              probe.style.color = `var(${name})`;
              document.body.append(probe);
              return getComputedStyle(probe).color.match(/\\d+/g).map(Number);
            })"""
        )
        *texts, card, ground = [luminance(colour) for colour in colours]
        for text in texts:
            for behind in (card, ground):
                light, dark = max(text, behind), min(text, behind)
                assert (light + 0.05) / (dark + 0.05) >= 4.5
        page.context.close()


def luminance(colour):
    """Relative luminance of sRGB (WCAG 2.1)."""
    linear = [
        c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4
        for c in colour
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
