/** A tile for each board. */

import { byId, keep, make, setText } from "./dom.js";

const PARTS = ["compute", "transfer", "wait"];
const GOLDEN_ANGLE = 137.5;

let names = [];

/** Colour a board's tile and its row of the timeline: a hue far from its neighbours', else grey. */
export function paint(element, name) {
  const place = names.indexOf(name);
  element.style.setProperty("--hue", 190 + GOLDEN_ANGLE * place);
  element.style.setProperty("--chroma", place < 0 ? 0.01 : 0.12);
}

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
  paint(tile, board.name);
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
    `${size(board.memory_bytes, 1e6, "MB")} held`,
    `heard ${board.seen_s.toFixed(board.seen_s < 10 ? 1 : 0)} s ago`,
  ].join("\n"));
  const leave = board.state === "working";
  const button = find("button");
  button.dataset.leave = leave;
  button.disabled = board.state === "returning";
  setText(button, leave ? "Leave out" : "Take back");
  button.setAttribute("aria-label", `${button.textContent} ${board.name}`);
}
