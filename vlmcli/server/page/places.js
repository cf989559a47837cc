/** Boxes over a picture, and the same as a list. */

import { element } from "./dom.js";

/** Okabe and Ito's colours, which colour-blind people can tell apart; page.css has them by these numbers. */
const COLOURS = 7;

/**
 * A picture with its boxes, and the list of them. Numbers connect the two, since colours alone must not.
 *
 * Boxes are in pixels of the upright picture, which is what the browser shows. They are placed by shares of its width
 * and height, so that they stay right at any size; frames and letters keep theirs.
 * @param {Picture} picture
 * @param {{places: Array<{label: string, box: number[], score: number?}>, size: [number, number]}} found
 */
export function withPlaces(picture, found) {
  const labels = [...new Set(found.places.map((place) => place.label))];
  const colours = found.places.map((place) => `colour-${labels.indexOf(place.label) % COLOURS}`);
  const frame = element("div", { className: "frame" }, picture.shown());
  const ratio = found.size[0] / found.size[1];
  frame.style.aspectRatio = ratio;
  frame.style.width = `min(100%, ${60 * ratio}vh)`; // so that a tall picture and its list fit on a screen
  // A screen reader gets the list instead.
  const boxes = element("div", { className: "boxes", "aria-hidden": "true" });
  boxes.append(...found.places.map((place, index) => box(place, index + 1, colours[index], found.size)));
  frame.append(boxes);
  const list = element("ol", { className: "places" }, ...found.places.map((place) => element("li", {}, inWords(place))));
  return element("figure", {}, frame, element("figcaption", {}, found.places.length ? list : "Nothing found."));
}

function box(place, number, colour, [width, height]) {
  const [left, top, right, bottom] = place.box;
  const made = element("div", { className: `box ${colour}` });
  made.style.left = `${(100 * left) / width}%`;
  made.style.top = `${(100 * top) / height}%`;
  made.style.width = `${(100 * (right - left)) / width}%`;
  made.style.height = `${(100 * (bottom - top)) / height}%`;
  const label = element("span", { className: "label" }, `${number} ${place.label}`);
  // Above the box, unless the picture ends there; from its left side on, unless there is little room to the right.
  label.classList.toggle("inside", top < 0.12 * height);
  label.classList.toggle("from-right", left > 0.6 * width);
  made.append(label);
  return made;
}

function inWords(place) {
  const [left, top, right, bottom] = place.box;
  const score = place.score === null ? "" : `, score ${place.score.toFixed(2)}`;
  return `${place.label}: left ${left}, top ${top}, right ${right}, bottom ${bottom}${score}`;
}
