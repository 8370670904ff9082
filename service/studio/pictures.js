// The pictures that were given, what became of each, and the one worker that sends them.

import { Problem, upscale } from "./api.js";
import { readReply } from "./reply.js";

const FIRST_OPTIONS = { mode: "auto", factor: 2, strength: 1 };
let lastId = 0;

/**
 * All pictures, in order; tells its listeners by a "change" event.
 *
 * A picture has a status: "waiting", "working", "done" or "failed" (then a problem). A result stays
 * to be seen while a newer one is made.
 */
export class Pictures extends EventTarget {
  list = [];
  current = null;
  #options = FIRST_OPTIONS;
  #isWorking = false;
  #resumeAt = 0;
  #timer = 0;

  add(files) {
    const added = Array.from(files, (file) => ({
      id: ++lastId,
      file,
      name: file.name || "picture",
      url: URL.createObjectURL(file),
      options: { ...this.#options },
      boxes: [],
      excluded: new Set(),
      faceIndex: 0,
      status: "waiting",
      problem: null,
      retryAt: 0,
      result: null,
      controller: null,
    }));
    if (added.length === 0) return;
    this.list.push(...added);
    this.current = added[0];
    this.#changed();
    this.#work();
  }

  select(picture) {
    this.current = picture;
    this.#changed();
  }

  remove(picture) {
    const place = this.list.indexOf(picture);
    picture.controller?.abort();
    this.list.splice(place, 1);
    URL.revokeObjectURL(picture.url);
    if (picture.result) URL.revokeObjectURL(picture.result.url);
    if (this.current === picture) this.current = this.list[place] ?? this.list.at(-1) ?? null;
    this.#changed();
  }

  showFace(picture, index) {
    picture.faceIndex = index;
    this.#changed();
  }

  /** Changes how a picture is upscaled, and those that will be added; upscales it again. */
  setOptions(picture, options) {
    picture.options = { ...picture.options, ...options };
    this.#options = picture.options;
    this.send(picture);
  }

  /** Says whether a face of a photo is to be upscaled; upscales the photo again. */
  includeFace(picture, index, isIncluded) {
    if (isIncluded) picture.excluded.delete(index);
    else picture.excluded.add(index);
    const included = picture.result.faces.filter((face) => !picture.excluded.has(face.index));
    picture.boxes = picture.excluded.size > 0 ? included.map((face) => face.box) : [];
    this.send(picture);
  }

  /** Sends a picture, for the first time or once more; what is under way for it is dropped. */
  send(picture) {
    picture.controller?.abort();
    picture.status = "waiting";
    picture.problem = null;
    this.#changed();
    this.#work();
  }

  /** Sends all that failed for want of a key. */
  sendUnauthorized() {
    for (const picture of this.list) if (picture.problem?.status === 401) this.send(picture);
  }

  get isBusy() {
    return this.list.some((picture) => picture.status === "waiting" || picture.status === "working");
  }

  /** One at a time, the shown one first: a folder of pictures is no reason to crowd others out. */
  async #work() {
    if (this.#isWorking) return;
    clearTimeout(this.#timer);
    const pause = this.#resumeAt - Date.now();
    const waiting = this.list.filter((picture) => picture.status === "waiting");
    if (waiting.length === 0) return;
    if (pause > 0) {
      this.#timer = setTimeout(() => this.#work(), pause);
      return;
    }
    this.#isWorking = true;
    await this.#sendOne(waiting.includes(this.current) ? this.current : waiting[0]);
    this.#isWorking = false;
    this.#work();
  }

  async #sendOne(picture) {
    const controller = new AbortController();
    picture.controller = controller;
    picture.status = "working";
    this.#changed();
    try {
      const reply = await upscale(picture, { signal: controller.signal });
      if (controller.signal.aborted) return;
      const result = readReply(reply);
      if (picture.result) URL.revokeObjectURL(picture.result.url);
      picture.result = result;
      picture.status = "done";
      picture.faceIndex = Math.min(picture.faceIndex, Math.max(0, result.faces.length - 1));
    } catch (error) {
      if (controller.signal.aborted) return;
      picture.status = "failed";
      picture.problem = asProblem(error);
      picture.retryAt = Date.now() + (picture.problem.retryAfter ?? 0) * 1000;
      // What the service has no room for now, it has none for the next one either.
      if (picture.problem.retryAfter) this.#resumeAt = picture.retryAt;
    }
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function asProblem(error) {
  if (error instanceof Problem) return error;
  return new Problem({
    kind: "page",
    title: "The reply could not be read",
    detail: `This page does not understand what the service answered (${error.message}).`,
    retryable: true,
  });
}
