// The row of pictures: which one is shown, and how far each has come.

import { el, replaceChildren } from "./dom.js";

const STATUS = { waiting: "waiting", working: "being upscaled", done: "done", failed: "failed" };

export class Film {
  constructor({ onSelect, onAdd }) {
    this.onSelect = onSelect;
    this.list = el("ul", { "aria-label": "Your pictures" });
    this.element = el("div", { class: "film-row" }, this.list,
      el("button", { type: "button", class: "button", click: onAdd }, "Add pictures"));
  }

  show(pictures) {
    replaceChildren(this.list, ...pictures.list.map((picture) => this.#item(picture, pictures)));
  }

  #item(picture, pictures) {
    return el("li", {}, el("button", {
      type: "button",
      "data-key": `picture-${picture.id}`,
      "data-status": picture.status,
      "aria-current": String(picture === pictures.current),
      "aria-label": `${picture.name}, ${STATUS[picture.status]}`,
      title: picture.name,
      click: () => this.onSelect(picture),
    }, el("img", { src: picture.url, alt: "", error: (event) => event.target.remove() }), el("span", { class: "dot", "aria-hidden": "true" })));
  }
}
