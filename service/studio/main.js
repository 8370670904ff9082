// Puts the page together: pictures come in, and each part shows what became of them.

import { checkAccess, useKey } from "./api.js";
import { Compare } from "./compare.js";
import { Controls } from "./controls.js";
import { announce, byId } from "./dom.js";
import { Faces } from "./faces.js";
import { Film } from "./film.js";
import { listenForPictures } from "./intake.js";
import { Pictures } from "./pictures.js";
import { KeyForm, ProblemCard } from "./problems.js";
import { summary } from "./reply.js";
import { watchState } from "./state.js";

const pictures = new Pictures();
const openDialogue = listenForPictures((files) => pictures.add(files));

const film = new Film({ onSelect: (picture) => pictures.select(picture), onAdd: openDialogue });
const problem = new ProblemCard({ onRetry: (picture) => pictures.send(picture) });
const showFace = (index) => pictures.showFace(pictures.current, index);
const compare = new Compare({ onFace: showFace, onRemove: () => pictures.remove(pictures.current) });
const controls = new Controls({
  onChange: (options) => pictures.setOptions(pictures.current, options),
});
const faces = new Faces({
  onFace: showFace,
  onInclude: (index, isIncluded) => pictures.includeFace(pictures.current, index, isIncluded),
});
const key = new KeyForm({ onKey: tryKey });

for (const [id, part] of Object.entries({ film, problem, stage: compare, controls, faces, key })) {
  part.element.id = id;
  byId(id).replaceWith(part.element);
}
const askState = watchState(byId("state"), { isBusy: () => pictures.isBusy });

let keysTried = 0;
const told = new WeakMap();

pictures.addEventListener("change", () => {
  const { current } = pictures;
  byId("welcome").hidden = current !== null;
  byId("work").hidden = current === null;
  if (pictures.isBusy) askState();
  if (current === null) return;
  byId("truth").hidden = current.result === null;
  film.show(pictures);
  problem.show(current);
  compare.show(current);
  controls.show(current);
  faces.show(current);
  pictures.list.forEach(tell);
});

/** Says once what became of a picture; problems say it themselves. */
function tell(picture) {
  if (told.get(picture) === picture.status) return;
  told.set(picture, picture.status);
  if (picture.status === "done") announce(`${picture.name}: ${summary(picture.result)}`);
  if (picture.problem?.status === 401) key.ask(picture.problem, { wasTried: keysTried > 0 });
}

async function tryKey(value) {
  keysTried += 1;
  useKey(value);
  if (await hasAccess()) pictures.sendUnauthorized();
}

async function hasAccess() {
  try {
    await checkAccess();
  } catch (refusal) {
    if (refusal.status === 401) {
      key.ask(refusal, { wasTried: keysTried > 0 });
      return false;
    }
  }
  key.hide();
  return true;
}

hasAccess();
