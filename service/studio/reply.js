// The two replies of /v1/upscale, for a photo and for one face, as one thing to show.

import { sentence } from "./dom.js";

/**
 * What there is to show of a reply: the file, its size, and the faces, each with its box in pixels
 * of the input. A reply for one face is a face that fills its picture.
 */
export function readReply(reply) {
  const blob = decodeFile(reply.image_base64, reply.media_type);
  const isPhoto = reply.mode === "photo";
  return {
    isPhoto,
    blob,
    url: URL.createObjectURL(blob),
    input: reply.input,
    output: reply.output,
    notes: reply.notes.map(sentence),
    faces: isPhoto ? reply.faces.map(readFace) : [readLoneFace(reply)],
  };
}

function readFace(face) {
  return { ...face, isUpscaled: face.action === "upscaled" };
}

function readLoneFace(reply) {
  const { width, height } = reply.input;
  return {
    ...reply,
    index: 0,
    box: { x: 0, y: 0, width, height },
    size_px: Math.max(width, height),
    action: "upscaled",
    isUpscaled: true,
  };
}

function decodeFile(base64, type) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  // Not Uint8Array.from with a function, which takes seconds for a large photo.
  for (let place = 0; place < text.length; place += 1) bytes[place] = text.charCodeAt(place);
  return new Blob([bytes], { type });
}

/** A name for the result's file, after that of its input. */
export function resultName(name, type) {
  const stem = name.replace(/\.[^.]*$/, "") || "picture";
  return `${stem}-affectsr.${type === "image/jpeg" ? "jpg" : type.split("/")[1]}`;
}

/** What became of a picture, in one sentence. */
export function summary(result) {
  if (!result.isPhoto) return "Taken as one face.";
  const upscaled = result.faces.filter((face) => face.isUpscaled).length;
  const found = result.faces.length;
  if (found === 0) return "No face found; the whole picture was enlarged plainly.";
  if (upscaled === found) return found === 1 ? "One face, upscaled." : `${found} faces, all upscaled.`;
  return `${found} face${found === 1 ? "" : "s"}, ${upscaled} of them upscaled.`;
}
