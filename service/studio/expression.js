// What was read in a face before and after, as words and as bars. It claims no more than is known.

import { el, percent } from "./dom.js";

const WORDS = {
  surprise: "surprised", fear: "afraid", disgust: "disgusted",
};
const UNREAD = {
  none: "Expressions were not read.",
  "no-classifier": "This service reads no expressions: it has no classifier for them.",
  failed: "The expression could not be read in this face.",
};

export const word = (expression) => WORDS[expression] ?? expression;

/** The verdict on a face that was upscaled, and the bars that it rests on. */
export function describeExpression(face) {
  const { expression } = face;
  if (!expression) return [el("p", { class: "soft" }, UNREAD[face.readout] ?? UNREAD.none)];
  const { tone, title, text } = verdict(expression);
  return [
    el("div", { class: `verdict ${tone}` }, el("h3", {}, title), el("p", {}, text)),
    bars(expression),
    isFallback(expression) && el("p", { class: "soft" },
      "The face was not sure enough to be aligned by its own landmarks, so take the bars with care."),
  ].filter(Boolean);
}

export function verdict(expression) {
  const after = word(expression.result.expression);
  const before = word(expression.input.expression);
  const change = expression.agrees ? "" : ` The small face itself reads as ${before}.`;
  const odds = expression.recoverable_probability;
  if (expression.recoverable === false) {
    return {
      tone: "unsure",
      title: "Too small to tell",
      text: `The result looks ${after}, but the small face does not hold enough to know: of 100 `
        + `results like this, about ${Math.round(odds * 100)} show the true expression.${change}`,
    };
  }
  if (expression.recoverable === true) {
    return {
      tone: "likely",
      title: `Probably ${after}`,
      text: `Of 100 results like this, about ${Math.round(odds * 100)} show the true expression.`
        + change,
    };
  }
  return {
    tone: "unknown",
    title: `Looks ${after}`,
    text: `How far that can be trusted was not measured for this model.${change}`,
  };
}

const isFallback = ({ input, result }) =>
  input.landmarks === "fallback" || result.landmarks === "fallback";

function bars({ input, result }) {
  const names = Object.keys(result.probabilities);
  return el("table", { class: "bars" },
    el("caption", { class: "unseen" }, "Expressions read before and after, in percent"),
    el("thead", {}, el("tr", {}, el("td"),
      el("th", { scope: "col", class: "before" }, "Before"),
      el("th", { scope: "col", class: "after" }, "After"))),
    el("tbody", {}, ...names.map((name) => el("tr", {},
      el("th", { scope: "row" }, word(name)),
      bar("before", input.probabilities[name]),
      bar("after", result.probabilities[name])))));
}

function bar(side, probability) {
  const fill = el("span", { class: "fill" });
  fill.style.width = `${probability * 100}%`;
  return el("td", { class: side },
    el("span", { class: "track", "aria-hidden": "true" }, fill),
    el("span", { class: "value" }, percent(probability)));
}
