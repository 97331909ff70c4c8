// The page: images in by every way, to the service, and cards out.

import { ask } from "/page/ask.js";
import { camera } from "/page/camera.js";
import { failed, photoCard, waiting, wordCard } from "/page/cards.js";
import { make } from "/page/drawing.js";

const CARDS = 30;
const AT_ONCE = 2;
const DECODINGS = {
  default: "as usual: again if in doubt",
  single: "one look",
  search: "search, with alternatives",
  lines: "lines of words",
};
const $ = (id) => document.getElementById(id);
const state = { models: [], max_bytes: Infinity };
const queue = [];
let running = 0;

function notice(text) {
  $("notice").hidden = !text;
  $("notice").textContent = text ?? "";
}

const model = () => state.models.find((one) => one.name === $("model").value) ?? state.models[0];
const chosenKind = () => document.querySelector("input[name=kind]:checked").value;

// A crop of a word is small or flat; anything else is looked at as a photograph.
async function kindOf(blob) {
  const kind = chosenKind();
  if (kind !== "auto") return kind;
  try {
    const { width, height } = await createImageBitmap(blob);
    return height <= 100 && width <= 600 ? "word" : "photo";
  } catch { return "word"; } // the service says what is wrong with it
}

async function read({ name, blob, card, chosen, decoding }) {
  const began = performance.now();
  const since = () => Math.round(performance.now() - began);
  try {
    if (blob.size > state.max_bytes) throw new Error(`The file is over ${state.max_bytes >> 20} MiB, the largest that is taken.`);
    const kind = await kindOf(blob);
    if (kind === "line" && !chosen.decodings.includes("lines")) throw new Error(`${chosen.name} reads single words only.`);
    const query = `model=${encodeURIComponent(chosen.name)}`;
    if (kind === "photo") {
      // Of a model of single words, the spaces between those of a line would be lost.
      const able = chosen.decodings.includes("lines") ? chosen : state.models.find((one) => one.decodings.includes("lines")) ?? chosen;
      const note = able === chosen ? "" : `Read by ${able.name}: ${chosen.name} reads single words.`;
      photoCard(card, name, blob, await ask(`/spot?model=${encodeURIComponent(able.name)}`, blob), chosen, since(), note);
    } else {
      const how = kind === "line" ? "lines" : decoding;
      wordCard(card, name, blob, await ask(`/read?${query}&decoding=${how}`, blob), chosen, since());
    }
  } catch (error) {
    failed(card, name, error.message);
  }
  card.dataset.done = "yes";
}

function pump() {
  while (running < AT_ONCE && queue.length) {
    running += 1;
    read(queue.shift()).finally(() => { running -= 1; pump(); });
  }
}

function add(files) {
  notice();
  const images = [...files].filter((file) => file.type.startsWith("image/") || !file.type);
  if (files.length && !images.length) notice("These files are no images.");
  for (const blob of images) {
    const name = blob.name || "pasted image";
    const card = waiting(name);
    $("results").prepend(card);
    queue.push({ name, blob, card, chosen: model(), decoding: $("decoding").value });
  }
  [...$("results").children].slice(CARDS).forEach((card) => card.remove());
  pump();
}

function listDecodings() {
  const before = $("decoding").value;
  const names = model().decodings;
  $("decoding").replaceChildren(...names.map((name) => make("option", { value: name, text: DECODINGS[name] ?? name })));
  if (names.includes(before)) $("decoding").value = before;
}

function listen() {
  $("model").addEventListener("change", listDecodings);
  $("choose").addEventListener("click", () => $("files").click());
  $("files").addEventListener("change", (event) => { add(event.target.files); event.target.value = ""; });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) { event.preventDefault(); add(files); } else notice("There is no image in the clipboard.");
  });
  let depth = 0;
  const over = (on) => $("drop").classList.toggle("over", on);
  addEventListener("dragenter", (event) => { event.preventDefault(); depth += 1; over(true); });
  addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); if (!depth) over(false); });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => { event.preventDefault(); depth = 0; over(false); add(event.dataTransfer.files); });
  const cam = camera($("camera"), $("video"), (file) => add([file]), notice);
  $("open-camera").addEventListener("click", () => { notice(); cam.open(); });
  $("close-camera").addEventListener("click", cam.close);
  $("capture").addEventListener("click", cam.capture);
}

function theme() {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  const apply = () => root.classList.toggle("dark", chosen ?? dark.matches);
  dark.addEventListener("change", apply);
  $("theme").addEventListener("click", () => { chosen = !root.classList.contains("dark"); apply(); });
  apply();
}

function examples(names) {
  for (const name of names) {
    const path = `/page/examples/${name}`;
    const image = make("img", { src: path, alt: `Example ${name}`, height: 34 });
    $("examples").append(make("button", {
      type: "button", title: `Read ${name}`,
      onclick: async () => add([new File([await (await fetch(path)).blob()], name, { type: name.endsWith("jpg") ? "image/jpeg" : "image/png" })]),
    }, image));
  }
}

async function start() {
  theme();
  listen();
  try {
    Object.assign(state, await (await fetch("/page/state")).json());
  } catch {
    notice("The service does not answer. Is it still running?");
    return;
  }
  $("model").append(...state.models.map(({ name }) => make("option", { value: name, text: name })));
  listDecodings();
  examples(state.examples);
  $("version").textContent = `strhub ${state.version}. Images go to this service and nowhere else.`;
  document.body.dataset.ready = "yes";
}

start();
