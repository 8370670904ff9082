// The picture before and after: a divider that is moved by mouse, touch or keys, and face boxes.

import { el, plural } from "./dom.js";
import { resultName, summary } from "./reply.js";

const STEPS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 };
// Less than that and a press is a click, also where a finger trembles.
const DRAG_PX = 5;
// A result is shown this wide where there is room, but not enlarged beyond so many times.
const COMFORTABLE_PX = 680;
const MAX_ENLARGED = 4;
// From here on a pixel of the input is shown as what it is.
const PIXELATED_FROM = 4;

export class Compare {
  #share = 50; // of the width, in percent: left of it is the input
  #boxesShown = true;
  #output = null; // the result's size, if there is one

  constructor({ onFace, onRemove }) {
    this.#build(onFace, onRemove);
    this.#listen();
    this.#move(this.#share);
  }

  #build(onFace, onRemove) {
    this.onFace = onFace;
    this.before = el("img", { class: "before", draggable: "false",
      load: () => this.#fit(),
      error: () => { this.frame.hidden = true; } });
    this.after = el("img", { class: "after", draggable: "false" });
    this.boxes = el("div", { class: "boxes", role: "group", "aria-label": "Faces in the picture" });
    this.divider = el("div", {
      class: "divider",
      role: "slider",
      tabindex: "0",
      "aria-label": "Before and after",
      "aria-orientation": "horizontal",
      "aria-valuemin": "0",
      "aria-valuemax": "100",
    }, el("span", { class: "knob" }));
    this.tags = [
      el("span", { class: "tag left", "aria-hidden": "true" }, "Before"),
      el("span", { class: "tag right", "aria-hidden": "true" }, "After"),
    ];
    this.busy = el("p", { class: "busy" });
    this.frame = el("div", { class: "frame" },
      this.before, this.after, this.boxes, ...this.tags, this.divider, this.busy);
    this.caption = el("p", { class: "caption" });
    this.download = el("a", { class: "button primary" }, "Download");
    this.toggle = el("input", { type: "checkbox", checked: true, change: () => this.#showBoxes() });
    this.toggleLabel = el("label", { class: "check" }, this.toggle, "Boxes");
    this.element = el("figure", { class: "stage" }, this.frame,
      el("figcaption", {}, this.caption,
        el("div", { class: "actions" }, this.toggleLabel,
          el("button", { type: "button", class: "button", click: onRemove }, "Remove"),
          this.download)));
  }

  show(picture) {
    const { result } = picture;
    if (this.before.src !== picture.url) this.before.src = picture.url;
    this.before.alt = result ? `Before: your picture, ${size(result.input)} pixels` : "Your picture";
    this.element.dataset.status = picture.status;
    this.busy.textContent = picture.status === "waiting" ? "Waiting its turn" : "Upscaling";
    this.busy.hidden = picture.status !== "waiting" && picture.status !== "working";
    for (const part of [this.after, this.divider, ...this.tags, this.download]) {
      part.hidden = !result;
    }
    this.toggleLabel.hidden = !result?.isPhoto || result.faces.length === 0;
    this.#drawBoxes(picture);
    this.#output = result?.output;
    this.#fit();
    if (!result) {
      this.caption.textContent = picture.name;
      return;
    }
    this.after.src = result.url;
    this.after.alt = `After: the result, ${size(result.output)} pixels`;
    this.download.href = result.url;
    this.download.download = resultName(picture.name, result.blob.type);
    this.caption.replaceChildren(
      el("strong", {}, summary(result)), ` ${size(result.input)} became ${size(result.output)} pixels.`,
      ...result.notes.map((note) => el("span", { class: "note-line" }, ` ${note}`)),
    );
  }

  /** Sizes the frame; until there is a result, by the input, so that nothing jumps later. */
  #fit() {
    const natural = { width: this.before.naturalWidth, height: this.before.naturalHeight };
    if (natural.width === 0) return;
    this.frame.hidden = false;
    const { width, height } = this.#output ?? natural;
    const comfortable = Math.max(width, Math.min(COMFORTABLE_PX, width * MAX_ENLARGED));
    this.frame.style.setProperty("--width", `${comfortable}px`);
    this.frame.style.setProperty("--ratio", width / height);
    const zoom = this.frame.clientWidth / natural.width;
    this.before.classList.toggle("pixelated", zoom >= PIXELATED_FROM);
  }

  #drawBoxes(picture) {
    const { result } = picture;
    const faces = result?.isPhoto ? result.faces : [];
    const buttons = faces.map((face) => this.#box(face, picture));
    const focused = this.boxes.contains(document.activeElement)
      ? [...this.boxes.children].indexOf(document.activeElement) : -1;
    this.boxes.replaceChildren(...buttons);
    buttons[focused]?.focus();
    this.boxes.hidden = faces.length === 0 || !this.#boxesShown;
  }

  #box(face, picture) {
    const { input } = picture.result;
    const button = el("button", {
      type: "button",
      class: `box ${face.action}`,
      "aria-pressed": String(face.index === picture.faceIndex),
      "aria-label": `Face ${face.index + 1}, ${plural(Math.round(face.size_px), "pixel")}`,
    }, el("span", { "aria-hidden": "true" }, String(face.index + 1)));
    button.dataset.index = face.index;
    const place = { left: face.box.x / input.width, top: face.box.y / input.height,
      width: face.box.width / input.width, height: face.box.height / input.height };
    for (const [side, share] of Object.entries(place)) button.style[side] = `${share * 100}%`;
    return button;
  }

  #showBoxes() {
    this.#boxesShown = this.toggle.checked;
    this.boxes.hidden = !this.#boxesShown;
  }

  #listen() {
    this.divider.addEventListener("keydown", (event) => {
      const target = { Home: 0, End: 100 }[event.key] ?? this.#share + (STEPS[event.key] ?? NaN);
      if (Number.isNaN(target)) return;
      event.preventDefault();
      this.#move(target);
    });
    // Keys that press a button make a click without a pointer, so boxes listen to clicks alone.
    this.boxes.addEventListener("click", (event) => {
      const box = event.target.closest(".box");
      if (box && !this.wasDragged) this.onFace(Number(box.dataset.index));
    });
    this.frame.addEventListener("pointerdown", (event) => this.#press(event));
  }

  #press(press) {
    if (press.button !== 0 || this.divider.hidden) return;
    this.wasDragged = false;
    const onBox = press.target.closest(".box");
    const follow = (event) => {
      const distance = Math.abs(event.clientX - press.clientX);
      if (!this.wasDragged && distance < DRAG_PX && press.target.closest(".divider") === null) return;
      this.wasDragged = true;
      this.frame.setPointerCapture(press.pointerId);
      this.#moveTo(event.clientX);
    };
    const release = (event) => {
      this.frame.removeEventListener("pointermove", follow);
      this.frame.removeEventListener("pointerup", release);
      this.frame.removeEventListener("pointercancel", release);
      if (event.type === "pointerup" && !this.wasDragged && !onBox) this.#moveTo(event.clientX);
    };
    this.frame.addEventListener("pointermove", follow);
    this.frame.addEventListener("pointerup", release);
    this.frame.addEventListener("pointercancel", release);
  }

  #moveTo(clientX) {
    const { left, width } = this.frame.getBoundingClientRect();
    this.#move(((clientX - left) / width) * 100);
  }

  #move(share) {
    this.#share = Math.round(Math.min(100, Math.max(0, share)));
    this.frame.style.setProperty("--share", `${this.#share}%`);
    this.divider.setAttribute("aria-valuenow", this.#share);
    this.divider.setAttribute(
      "aria-valuetext", `${this.#share} % before, ${100 - this.#share} % after`);
  }
}

const size = ({ width, height }) => `${width}\u2009\u00d7\u2009${height}`;
