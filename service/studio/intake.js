// How pictures come in: dropped, pasted, chosen from a dialogue, or the sample.

import { announce, byId } from "./dom.js";

/** Listens everywhere; gives the files of each go to `onFiles`. Gives what opens the dialogue. */
export function listenForPictures(onFiles) {
  const input = byId("files");
  const open = () => input.click();
  byId("choose").addEventListener("click", open);
  input.addEventListener("change", () => {
    onFiles([...input.files]);
    input.value = ""; // so that the same file may be chosen again
  });
  byId("sample").addEventListener("click", async () => onFiles([await sample()]));
  listenForDrops(onFiles);
  listenForPaste(onFiles);
  return open;
}

function listenForDrops(onFiles) {
  const root = document.documentElement;
  // Entering a child leaves its parent, so enters and leaves are counted.
  let depth = 0;
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    root.classList.toggle("dropping", depth > 0);
  };
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  root.addEventListener("dragenter", (event) => holdsFiles(event) && mark(1));
  root.addEventListener("dragleave", (event) => holdsFiles(event) && mark(-1));
  root.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  root.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    mark(-depth);
    onFiles([...event.dataTransfer.files]);
  });
}

function listenForPaste(onFiles) {
  document.addEventListener("paste", (event) => {
    if (event.target.matches("input[type=password]")) return;
    const files = [...event.clipboardData.files];
    if (files.length > 0) onFiles(files);
    else announce("There is no picture on the clipboard.");
  });
}

async function sample() {
  const response = await fetch("studio/sample.png");
  return new File([await response.blob()], "sample.png", { type: "image/png" });
}
