/** The picture, with boxes and what the network saw of it. */

import { byId, keep, make, setText } from "./dom.js";

const percent = (share) => `${(100 * share).toFixed(0)} %`;

const stage = byId("stage");
const canvas = stage.querySelector("canvas");
const context = canvas.getContext("2d", { alpha: false });

let waiting = null;
let drawing = false;

/** Show a frame; while one is being decoded, only the newest waits. */
export async function show(caption, jpeg, shown) {
  waiting = [caption, jpeg];
  if (drawing) return;
  drawing = true;
  try {
    while (waiting) {
      const [newest, picture] = waiting;
      waiting = null;
      draw(newest, await createImageBitmap(picture));
      shown(newest);
    }
  } finally {
    drawing = false;
  }
}

function draw(caption, picture) {
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    canvas.width = picture.width;
    canvas.height = picture.height;
    stage.style.setProperty("--aspect", picture.width / picture.height);
  }
  context.drawImage(picture, 0, 0);
  picture.close();
  stage.classList.remove("empty");
  canvas.dataset.frame = caption.number;
  drawSeen(caption.seen);
  drawBoxes(caption.detections);
  drawBest(caption);
}

function drawSeen(seen) {
  const [left, top, right, bottom] = seen;
  const element = byId("seen");
  element.hidden = left <= 0 && top <= 0 && right >= 1 && bottom >= 1;
  place(element, seen);
}

function drawBoxes(detections) {
  keep(
    byId("boxes"),
    detections,
    (_, rank) => rank,
    () => make("div", { className: "box" }, make("span")),
    (box, { label, score, box: where }) => {
      place(box, where);
      setText(box.firstChild, `${label} ${percent(score)}`);
      box.classList.toggle("at-top", where[1] < 0.08);
    },
  );
}

function place(element, [left, top, right, bottom]) {
  element.style.left = `${100 * left}%`;
  element.style.top = `${100 * top}%`;
  element.style.width = `${100 * (right - left)}%`;
  element.style.height = `${100 * (bottom - top)}%`;
}

function drawBest({ guesses: [best], detections, known }) {
  const element = byId("best");
  const found = detections.length;
  if (best) setText(element, best.label);
  else setText(element, found ? `${found} × ${detections[0].label}` : "");
  // The source knows what it shows: only samples do.
  if (best && known !== null) element.dataset.right = best.label === known;
  else delete element.dataset.right;
}
