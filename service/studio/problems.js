// What went wrong, in words, and what can be done about it.

import { announce, el } from "./dom.js";

const ASK_FOR_KEY = "This service asks for an API key. It is kept in this page's memory only.";
// Where the service's own words are meant for programs.
const WORDS = {
  overloaded: "It has as many pictures as it can hold, so it did not take this one.",
  "rate-limited": "This API key has had its requests of this minute.",
  "not-ready": "It is starting or stopping. It did not take this picture.",
  "device-stalled": "It has not got on for a while; it may yet.",
  "deadline-exceeded": "The picture had to wait too long for its turn.",
};

/** The card of a picture that failed; counts down to when it may be sent again. */
export class ProblemCard {
  #timer = 0;
  #shown = null;

  constructor({ onRetry }) {
    this.onRetry = onRetry;
    this.element = el("div");
  }

  show(picture) {
    if (picture?.problem === this.#shown) return;
    clearInterval(this.#timer);
    this.#shown = picture?.problem ?? null;
    this.element.replaceChildren(...(this.#shown ? [this.#card(picture)] : []));
  }

  #card(picture) {
    const { problem } = picture;
    const retry = problem.retryable && el("button", {
      type: "button", class: "button", click: () => this.onRetry(picture),
    }, "Try again");
    if (retry && problem.retryAfter) this.#countDown(retry, picture.retryAt);
    // The button's countdown stays outside of what is read out whenever it changes.
    return el("div", { class: `card problem${retry ? " passing" : ""}` },
      el("div", { role: "alert" },
        el("h2", {}, problem.title),
        el("p", {}, WORDS[problem.kind] ?? problem.detail)),
      retry && el("p", {}, retry),
      problem.requestId && el("p", { class: "soft" }, `Request ${problem.requestId}`));
  }

  #countDown(button, retryAt) {
    const tick = () => {
      const seconds = Math.ceil((retryAt - Date.now()) / 1000);
      button.disabled = seconds > 0;
      button.textContent = seconds > 0 ? `Try again in ${seconds} s` : "Try again";
      if (seconds > 0) return;
      clearInterval(this.#timer);
      announce("You can try again now.");
    };
    this.#timer = setInterval(tick, 250);
    tick();
  }
}

/** Asks for an API key. */
export class KeyForm {
  constructor({ onKey }) {
    this.field = el("input", {
      type: "password", id: "api-key", autocomplete: "off", spellcheck: "false", required: true,
    });
    this.text = el("p", { id: "key-text", "aria-live": "polite" });
    this.element = el("form", {
      class: "card key",
      hidden: true,
      submit: (event) => {
        event.preventDefault();
        onKey(this.field.value.trim());
      },
    },
    el("label", { for: "api-key" }, "API key"),
    this.text,
    el("div", { class: "row" }, this.field,
      el("button", { type: "submit", class: "button primary" }, "Use this key")));
    this.field.setAttribute("aria-describedby", "key-text");
  }

  /** Shows the form, with the service's words if a key was tried. */
  ask(problem, { wasTried }) {
    this.text.textContent = wasTried ? problem.detail : ASK_FOR_KEY;
    this.element.hidden = false;
    this.field.focus();
  }

  hide() {
    this.element.hidden = true;
    this.field.value = "";
  }
}
