// The faces of a result: one to choose, and what is known about the chosen one.

import { describeExpression } from "./expression.js";
import { el, percent, replaceChildren } from "./dom.js";

// A crop shows the box and so much around it.
const MARGIN = 1.25;
const SOURCES = {
  landmarker: "Landmarks were found in the small face",
  mediapipe: "Landmarks were found by MediaPipe",
  fallback: "No sure landmarks were found, so those of an average face stood in",
  none: "This model uses no landmarks",
};

export class Faces {
  constructor({ onFace, onInclude }) {
    this.onFace = onFace;
    this.onInclude = onInclude;
    this.element = el("section", { class: "faces", "aria-label": "Faces" });
  }

  show(picture) {
    const { result } = picture;
    this.element.hidden = !result || result.faces.length === 0;
    if (this.element.hidden) return;
    const face = result.faces.find((each) => each.index === picture.faceIndex) ?? result.faces[0];
    replaceChildren(this.element,
      result.faces.length > 1 && this.#row(picture),
      this.#card(face, picture));
  }

  #row(picture) {
    return el("ul", { class: "face-row", "aria-label": "Faces that were found" },
      ...picture.result.faces.map((face) => el("li", {}, el("button", {
        type: "button",
        class: face.action,
        "data-key": `face-${face.index}`,
        "aria-pressed": String(face.index === picture.faceIndex),
        "aria-label": `Face ${face.index + 1}`,
        click: () => this.onFace(face.index),
      }, crop(picture, face, { isAfter: true, side: 44 })))));
  }

  #card(face, picture) {
    const { result } = picture;
    const title = result.faces.length > 1 ? `Face ${face.index + 1} of ${result.faces.length}` : "The face";
    return el("article", { class: "card face" },
      el("div", { class: "pair" },
        el("figure", {}, crop(picture, face, { isAfter: false, side: 112 }), el("figcaption", {}, "Before")),
        el("figure", {}, crop(picture, face, { isAfter: true, side: 112 }), el("figcaption", {}, "After"))),
      el("h2", {}, title),
      el("p", { class: "soft" }, fate(face)),
      ...(face.isUpscaled ? [...describeExpression(face), landmarks(face)] : []),
      result.isPhoto && result.faces.length > 1 && face.action !== "left-alone" && this.#choice(face, picture));
  }

  #choice(face, picture) {
    const isIncluded = !picture.excluded.has(face.index);
    const numIncluded = picture.result.faces.length - picture.excluded.size;
    return el("label", { class: "check" },
      el("input", {
        type: "checkbox",
        "data-key": `include-${face.index}`,
        checked: isIncluded,
        disabled: isIncluded && numIncluded === 1, // a photo without a face to upscale is strength 0
        change: (event) => this.onInclude(face.index, event.target.checked),
      }), "Upscale this face");
  }
}

function fate(face) {
  const size = `${Math.round(face.size_px)} pixels`;
  if (face.action === "not-selected") return `${size}, left as it is: not selected.`;
  if (!face.isUpscaled) return `${size}, left as it is: ${face.reason}.`;
  return `${size}, made ${face.scale} times larger by ${face.model}.`;
}

function landmarks(face) {
  const text = SOURCES[face.landmarks] ?? face.landmarks;
  const confidence = face.landmark_confidence;
  return el("p", { class: face.landmarks === "fallback" ? "soft warned" : "soft" },
    // Never a round hundred: nothing here is certain.
    confidence == null ? `${text}.` : `${text} (confidence ${percent(Math.min(confidence, 0.99))}).`);
}

/** A canvas with the face, drawn once its picture is loaded. */
function crop(picture, face, { isAfter, side }) {
  const canvas = el("canvas", { width: side * 2, height: side * 2, "aria-hidden": "true" });
  const { input } = picture.result;
  const image = loadedOnce(picture.result, isAfter ? picture.result.url : picture.url);
  if (image.complete) draw(canvas, image, face.box, input);
  else image.addEventListener("load", () => draw(canvas, image, face.box, input));
  return canvas;
}

const images = new WeakMap();

/** One image for all faces of a result: a large photo takes long to decode. */
function loadedOnce(result, url) {
  if (!images.has(result)) images.set(result, new Map());
  const known = images.get(result);
  if (!known.has(url)) known.set(url, Object.assign(new Image(), { src: url }));
  return known.get(url);
}

function draw(canvas, image, box, input) {
  const zoom = image.naturalWidth / input.width;
  const isWhole = box.width === input.width && box.height === input.height;
  const side = Math.max(box.width, box.height) * (isWhole ? 1 : MARGIN);
  const left = box.x + (box.width - side) / 2;
  const top = box.y + (box.height - side) / 2;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = canvas.width / (side * zoom) < 4;
  context.imageSmoothingQuality = "high";
  context.drawImage(image, left * zoom, top * zoom, side * zoom, side * zoom,
    0, 0, canvas.width, canvas.height);
}
