// How a picture is upscaled: as what, how much larger, how strongly.

import { hasPhotoMode } from "./api.js";
import { el, percent } from "./dom.js";

// Long enough for a run of key presses to be one request.
const SETTLE_MS = 350;

const MODES = [["auto", "Automatic"], ["photo", "Photo"], ["face", "One face"]];
const FACTORS = [[1, "1\u00d7"], [2, "2\u00d7"], [4, "4\u00d7"]];

export class Controls {
  #timer = 0;
  #pending = {};

  constructor({ onChange }) {
    this.onChange = onChange;
    this.mode = this.#choice("Treat as", "mode", MODES, (value) => value);
    this.factor = this.#choice("Size", "factor", FACTORS, Number);
    this.strength = el("input", {
      type: "range", id: "strength", min: "0", max: "100", step: "5",
      input: () => this.#sayStrength(),
      change: () => this.#later({ strength: this.strength.valueAsNumber / 100 }),
    });
    this.output = el("span", { "aria-hidden": "true" }); // the slider says it itself
    this.strengthField = el("div", { class: "field" },
      el("div", { class: "between" }, el("label", { for: "strength" }, "Strength"), this.output),
      this.strength,
      el("p", { class: "soft" }, "How much of the new face is put in. 0 % is the plainly enlarged photo."));
    this.hint = el("p", { class: "soft" },
      "One face is always brought to 128 pixels. Treat it as a photo to choose size and strength.");
    this.element = el("form", { class: "card controls", submit: (event) => event.preventDefault() },
      el("h2", {}, "Settings"), this.mode, this.factor, this.strengthField, this.hint);
  }

  show(picture) {
    this.element.hidden = !hasPhotoMode();
    const { mode, factor, strength } = { ...picture.options, ...this.#pending };
    for (const [field, value] of [[this.mode, mode], [this.factor, factor]]) {
      for (const input of field.querySelectorAll("input")) input.checked = input.value === String(value);
    }
    this.strength.value = Math.round(strength * 100);
    this.#sayStrength();
    const isLoneFace = mode === "face" || picture.result?.isPhoto === false;
    this.factor.hidden = this.strengthField.hidden = isLoneFace;
    this.hint.hidden = !isLoneFace;
  }

  #choice(legend, name, values, convert) {
    return el("fieldset", { class: "field choice" }, el("legend", {}, legend),
      el("div", { class: "segments" }, ...values.map(([value, text]) =>
        el("label", {},
          el("input", { type: "radio", name, value,
            change: (event) => this.#later({ [name]: convert(event.target.value) }) }),
          el("span", {}, text)))));
  }

  #later(options) {
    this.#pending = { ...this.#pending, ...options };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const changed = this.#pending;
      this.#pending = {};
      this.onChange(changed);
    }, SETTLE_MS);
  }

  #sayStrength() {
    const text = percent(this.strength.valueAsNumber / 100);
    this.output.textContent = text;
    this.strength.setAttribute("aria-valuetext", text);
  }
}
