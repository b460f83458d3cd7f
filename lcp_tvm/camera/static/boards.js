/** A tile for each board. */

import { byId, keep, make, setText } from "./dom.js";

const PARTS = ["compute", "transfer", "wait"];
const GOLDEN_ANGLE = 137.5;

let names = [];

/** The colour of a board, in its tile and in the timeline: a hue, far from its neighbours'. */
export const hueOf = (name) => 190 + GOLDEN_ANGLE * Math.max(names.indexOf(name), 0);

/** @param use called with a board's name and whether to go on without it */
export function showBoards(boards, use) {
  names = boards.map((board) => board.name);
  keep(byId("boards"), boards, (board) => board.name, (board) => makeTile(board, use), update);
}

function makeTile({ name }, use) {
  const button = make("button", { type: "button" });
  button.onclick = () => use(name, button.dataset.leave === "true");
  const parts = PARTS.map((part) =>
    make("div", { className: part }, make("dt", { textContent: part }), make("dd")));
  const tile = make("li", { className: "tile" },
    make("h3", {}, make("i"), make("span", { textContent: name })),
    make("p", { className: "badge" }),
    make("p", { className: "kind" }),
    make("div", { className: "shares" }, ...PARTS.map((part) => make("i", { className: part }))),
    make("dl", {}, ...parts),
    make("p", { className: "facts" }),
    button);
  tile.dataset.board = name;
  return tile;
}

function update(tile, board) {
  const find = (selector) => tile.querySelector(selector);
  tile.dataset.state = board.state;
  tile.style.setProperty("--hue", hueOf(board.name));
  setText(find(".badge"), board.state);
  setText(find(".kind"), board.reason || board.kind);
  const times = PARTS.map((part) => board[`${part}_ms`]);
  const total = times.reduce((sum, ms) => sum + ms, 0) || 1;
  PARTS.forEach((part, place) => {
    find(`.shares .${part}`).style.width = `${(100 * times[place]) / total}%`;
    setText(find(`dl .${part} dd`), `${times[place].toFixed(1)} ms`);
  });
  const size = (bytes, unit, name) => `${(bytes / unit).toFixed(bytes < 10 * unit ? 1 : 0)} ${name}`;
  setText(find(".facts"), [
    `${size(board.bytes_per_frame, 1e3, "kB")} a frame`,
    `${size(board.memory_bytes, 1e6, "MB")}`,
    `heard ${board.seen_s.toFixed(board.seen_s < 10 ? 1 : 0)} s ago`,
  ].join(" · "));
  const leave = board.state === "working";
  const button = find("button");
  button.dataset.leave = leave;
  button.disabled = board.state === "returning";
  setText(button, leave ? "Leave out" : "Take back");
  button.setAttribute("aria-label", `${button.textContent} ${board.name}`);
}
