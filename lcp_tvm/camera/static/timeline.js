/** Who did what when, for one frame: a row for each device, a bar for all that it did. */

import { byId, keep, make, setText } from "./dom.js";
import { paint } from "./boards.js";

const STEPS_MS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
const MOST_TICKS = 8;

export function showTimeline(bars) {
  const timeline = byId("timeline");
  const devices = [...new Set(bars.map((bar) => bar.device))].sort();
  const end = Math.max(...bars.map((bar) => bar.start_ms + bar.duration_ms), 1e-3);
  const rows = devices.map((device) => ({
    device,
    bars: bars.filter((bar) => bar.device === device),
  }));
  keep(timeline, [...rows, { device: "", ticks: ticksTo(end) }], (row) => row.device, makeRow,
    (element, row) => updateRow(element, row, end));
  timeline.setAttribute("aria-label", bars.length ? inWords(rows) : "No frame yet");
}

function makeRow({ device }) {
  return make("div", { className: device ? "row" : "axis" },
    make("span", { textContent: device }), make("div"));
}

function updateRow(element, { device, bars = [], ticks = [] }, end) {
  paint(element, device);
  keep(element.lastChild, [...bars, ...ticks], (_, place) => place, () => make("i"),
    (mark, item) => {
      mark.style.left = `${(100 * item.start_ms) / end}%`;
      if (!device) return setText(mark, item.text);
      mark.style.width = `${(100 * item.duration_ms) / end}%`;
      mark.className = isTransfer(item) ? "transfer" : "compute";
      mark.title = `${item.name}: ${spanOf(item)}`;
    });
}

function ticksTo(end) {
  const step = STEPS_MS.find((ms) => end / ms < MOST_TICKS) ?? end;
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, number) => {
    const start = Number((number * step).toPrecision(6));
    return { start_ms: start, text: number ? String(start) : "0 ms" };
  });
}

const isTransfer = ({ name }) => / (to|from) /.test(name);

const spanOf = ({ start_ms: start, duration_ms: length }) =>
  `${start.toFixed(1)} to ${(start + length).toFixed(1)} ms`;

function inWords(rows) {
  return rows
    .map(({ device, bars }) => `${device}: ${bars.map((b) => `${b.name} ${spanOf(b)}`).join(", ")}`)
    .join(". ");
}
