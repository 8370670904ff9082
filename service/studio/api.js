// What the page asks the service, and what can go wrong with that, in words.

import { sentence } from "./dom.js";

// In memory only: it is gone with the page.
let apiKey = "";
// Whether the service finds faces in photos; null until it has said so.
let photoMode = null;

export function useKey(key) {
  apiKey = key;
}

/** An answer that is no success, or none at all. */
export class Problem extends Error {
  constructor({ kind, title, detail, status = 0, requestId = "", retryAfter = null, retryable }) {
    super(detail);
    this.kind = kind;
    this.title = title;
    this.detail = detail;
    this.status = status;
    this.requestId = requestId;
    this.retryAfter = retryAfter; // seconds, or null
    this.retryable = retryable;
  }
}

/** Upscales one picture; gives the JSON of the reply, with its notes, or throws a Problem. */
export async function upscale(picture, { signal }) {
  const { file, options, boxes } = picture;
  if (photoMode === null) await readState();
  const query = new URLSearchParams();
  if (photoMode && options.mode !== "face") {
    query.set("mode", options.mode);
    query.set("factor", options.factor);
    query.set("strength", options.strength);
    for (const box of boxes) {
      const sides = [box.x, box.y, box.width, box.height];
      query.append("box", sides.map((side) => Number(side.toFixed(2))).join(","));
    }
  }
  const response = await ask(`v1/upscale?${query}`, {
    method: "POST",
    body: file,
    headers: { "Content-Type": file.type || "application/octet-stream" },
    signal,
  });
  const reply = await response.json();
  // The reply for one face has its note, why it was taken as that, in a header.
  const note = response.headers.get("X-AffectSR-Note");
  return { ...reply, notes: reply.notes ?? (note ? [note] : []) };
}

/** Asks for something that needs a key where keys are in use; throws a Problem. */
export const checkAccess = () => ask("v1/models", {});

/** How busy the service is, and what it can do; throws a Problem. */
export async function readState() {
  const state = await (await ask("studio/state", {})).json();
  photoMode = state.has_photo_mode;
  return state;
}

export const hasPhotoMode = () => photoMode === true;

async function ask(path, { headers = {}, ...request }) {
  const all = { Accept: "application/json", ...headers };
  if (apiKey) all["X-API-Key"] = apiKey;
  let response;
  try {
    response = await fetch(path, { ...request, headers: all, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      kind: "unreachable",
      title: "The service cannot be reached",
      detail: "No answer came. See whether you are connected and the service is running.",
      retryable: true,
    });
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  const wait = Number.parseInt(response.headers.get("Retry-After"), 10);
  const common = { status: response.status, retryAfter: Number.isNaN(wait) ? null : wait };
  try {
    const body = await response.json();
    return new Problem({
      ...common,
      kind: body.type.split(":").pop(),
      title: body.title,
      detail: sentence(body.detail),
      requestId: body.request_id,
      retryable: body.retryable,
    });
  } catch {
    // Not from the service: something between it and here has answered.
    return new Problem({
      ...common,
      kind: "elsewhere",
      title: `The request was refused (${response.status})`,
      detail: "Something between this page and the service has answered instead of it.",
      retryable: response.status === 429 || response.status >= 500,
    });
  }
}
