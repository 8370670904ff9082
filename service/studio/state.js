// The service's state, at the top of the page: whether it takes work, and how much it has.

import { hasPhotoMode, readState } from "./api.js";
import { byId } from "./dom.js";

const IDLE_MS = 10_000;
const BUSY_MS = 1_000;
const WORDS = {
  starting: ["wait", "Starting"],
  warm: ["wait", "Starting"],
  draining: ["wait", "Stopping"],
  dead: ["down", "Stopping"],
  stalled: ["down", "Its device does not answer"],
};

/** Keeps an element up to date for as long as the page is seen. */
export function watchState(element, { isBusy }) {
  let timer = 0;
  const ask = async () => {
    clearTimeout(timer);
    if (!document.hidden) show(element, await describe());
    byId("photos-too").hidden = !hasPhotoMode();
    timer = setTimeout(ask, isBusy() ? BUSY_MS : IDLE_MS);
  };
  document.addEventListener("visibilitychange", ask);
  ask();
  return ask;
}

async function describe() {
  try {
    const { status, inflight, capacity } = await readState();
    if (status !== "ready") return WORDS[status] ?? ["wait", status];
    if (inflight >= capacity) return ["wait", "Full"];
    return ["ready", inflight === 0 ? "Ready" : `Ready, ${inflight} of ${capacity} places taken`];
  } catch {
    return ["down", "Not reachable"];
  }
}

function show(element, [tone, text]) {
  element.dataset.tone = tone;
  element.textContent = text;
}
