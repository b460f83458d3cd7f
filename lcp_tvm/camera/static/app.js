/** The page: shows the state and the newest frame, and asks for what is clicked. */

import { byId, keep, make, setText } from "./dom.js";
import { showBoards } from "./boards.js";
import { connect } from "./connection.js";
import { show } from "./stage.js";
import { showTimeline } from "./timeline.js";

const MOST_ANSWERS = 5;
const SPARK_POINTS = 120;
const NEWS_EVERY_MS = 4000;
const PROBLEM_MS = 8000;

let state = null;
let connected = false;
let refused = "";

// The token has become a cookie; it is not to stay in the address, which people share.
if (location.search) history.replaceState(null, "", location.pathname);

async function ask(path, body) {
  try {
    const answer = await fetch(`api/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const value = await answer.json();
    if (answer.ok) showState(value);
    else refuse(value.error);
  } catch {
    refuse("The camera does not answer.");
  }
}

let forgetting = 0;

function refuse(reason) {
  refused = reason;
  clearTimeout(forgetting);
  forgetting = setTimeout(() => {
    refused = "";
    showProblem();
  }, PROBLEM_MS);
  showProblem();
}

function showProblem() {
  const problem = refused || state?.error || "";
  setText(byId("problem"), problem);
  byId("problem").hidden = !problem;
}

function showState(next) {
  const before = state;
  state = next;
  showMood();
  showProblem();
  showControls();
  setText(byId("fps"), state.frames_per_s.toFixed(1));
  for (const [id, ms] of [["p50", "latency_p50_ms"], ["p95", "latency_p95_ms"], ["infer", "infer_p50_ms"]])
    setText(byId(id), state[ms].toFixed(1));
  for (const count of ["answered", "dropped", "late", "failed"])
    setText(byId(count), state[count].toLocaleString("en").replaceAll(",", " "));
  showBoards(state.boards, (board, leftOut) => ask("board", { board, left_out: leftOut }));
  showTimeline(state.timeline);
  if (before) tellChanges(before);
}

function moodOf() {
  if (!connected) return ["waiting", "Reconnecting", "The camera is out of reach"];
  if (!state) return ["waiting", "Connecting", "Waiting for the first frame"];
  if (state.switching) return ["waiting", "Switching", "Loading another split"];
  if (state.source_lost) return ["lost", "No frames", state.source_lost];
  if (state.paused) return ["paused", "Paused", "Paused"];
  return ["live", "Live", state.answered ? "" : "Waiting for the first frame"];
}

function showMood() {
  const [mood, word, veil] = moodOf();
  byId("pill").dataset.mood = mood;
  setText(byId("pill").querySelector("span"), word);
  setText(byId("veil").querySelector("span"), veil);
  byId("veil").hidden = !veil;
}

function showControls() {
  const pause = byId("pause");
  pause.disabled = false;
  setText(pause.querySelector("span"), state.paused ? "Resume" : "Pause");
  pause.querySelector("path").setAttribute("d",
    state.paused ? "M4.5 2.5v11l9-5.5z" : "M4 2.5h3v11H4zM9 2.5h3v11H9z");
  pause.onclick = () => ask("pause", { paused: !state.paused });

  keep(byId("splits"), state.splits, (split) => split,
    (split) => make("button", { type: "button", textContent: split, onclick: () => ask("split", { split }) }),
    (button, split) => {
      button.setAttribute("aria-pressed", split === state.split);
      button.disabled = state.switching;
    });

  const select = byId("sources").querySelector("select");
  keep(select, state.sources, (source) => source,
    (source) => make("option", { value: source, textContent: source }), () => {});
  if (document.activeElement !== select) select.value = state.source;
  select.onchange = () => {
    ask("source", { source: select.value });
    select.blur();
  };
}

function showCaption(caption) {
  const best = caption.guesses.length
    ? caption.guesses.map(({ label, probability }) => [label, probability])
    : caption.detections.map(({ label, score }) => [label, score]);
  keep(byId("answers"), best.slice(0, MOST_ANSWERS), (_, rank) => rank,
    () => make("li", {}, make("span"), make("b"), make("i")),
    (line, [label, share]) => {
      const [name, value, bar] = line.children;
      setText(name, label);
      setText(value, `${(100 * share).toFixed(0)} %`);
      bar.style.setProperty("--share", share);
    });
  byId("answers").classList.toggle("none", !best.length);
  showSpark(caption.latency_ms);
  if (best.length) tell(`Now ${best[0][0]}`);
}

const spark = [];

/** Draw the latencies of the last frames, from 0, as a line and what lies under it. */
function showSpark(latency) {
  spark.push(latency);
  if (spark.length > SPARK_POINTS) spark.shift();
  const top = Math.max(...spark);
  const first = SPARK_POINTS - spark.length;
  const points = spark.map((ms, at) => `${first + at},${(28 - (26 * ms) / top).toFixed(1)}`).join(" ");
  byId("spark").querySelector("polyline").setAttribute("points", points);
  byId("spark").querySelector("polygon")
    .setAttribute("points", `${first},28 ${points} ${SPARK_POINTS - 1},28`);
}

let told = "";
let toldAt = 0;

/** Say something to who listens instead of looking: not twice, and not all the time. */
function tell(text, { atOnce = false } = {}) {
  const now = performance.now();
  if (text === told || (!atOnce && now - toldAt < NEWS_EVERY_MS)) return;
  told = text;
  toldAt = now;
  setText(byId("news"), text);
}

function tellChanges(before) {
  for (const board of state.boards) {
    const was = before.boards.find(({ name }) => name === board.name);
    if (was && was.state !== board.state) tell(`${board.name} is ${board.state}`, { atOnce: true });
  }
  if (before.split !== state.split) tell(`Computing by ${state.split}`, { atOnce: true });
}

connect({
  frame: (caption, jpeg) => show(caption, jpeg, showCaption),
  state: showState,
  connected: (now) => {
    connected = now;
    showMood();
  },
});
