// Small things that every part of the page needs to make and change elements.

/**
 * Makes an element. Attributes that are functions listen to the event of their name; true and false
 * stand for an attribute that is there or not. Text is text: nothing is ever parsed as HTML.
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/**
 * Puts new children into a container, without taking the keyboard's place away: the focus goes to
 * the child with the data-key that had it.
 */
export function replaceChildren(container, ...children) {
  const focused = container.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.dataset.key;
  container.replaceChildren(...children.filter(Boolean));
  if (key) container.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

/** Has screen readers say something, when they are done with what they are saying. */
export function announce(text) {
  byId("announcement").textContent = text;
}

export const sentence = (text) =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;

export const percent = (share) => `${Math.round(share * 100)}\u202f%`;

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
