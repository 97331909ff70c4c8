// Cards: an image and what was read in it.

import { ask } from "/page/ask.js";
import { annotated, clear, column, cutOut, heat, levelOf, make, outlines, percent } from "/page/drawing.js";

const say = (button, text) => {
  const before = button.textContent;
  button.textContent = text;
  setTimeout(() => { button.textContent = before; }, 1200);
};

function copyButton(label, textOf) {
  return make("button", {
    class: "small", type: "button", text: label,
    async onclick(event) {
      try {
        await navigator.clipboard.writeText(textOf());
        say(event.target, "Copied");
      } catch { say(event.target, "Not allowed"); }
    },
  });
}

function download(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 5000);
}

function head(card, name, meta, ...tools) {
  const remove = make("button", {
    class: "small", type: "button", text: "Remove", "aria-label": `Remove ${name}`,
    onclick: () => card.remove(),
  });
  return make("div", { class: "head" },
    make("span", { class: "file", text: name, title: name }), make("span", { text: meta }),
    make("div", { class: "tools" }, ...tools, remove));
}

export function waiting(name) {
  const card = make("article", { class: "card" });
  card.append(make("div", { class: "wait", text: `Reading ${name}` }));
  return card;
}

export function failed(card, name, message) {
  card.replaceChildren(head(card, name, ""), make("div", { class: "said" }, make("p", { class: "failed", text: message })));
}

function letters(characters, confidences) {
  const row = make("div", { class: "letters" });
  characters.forEach((text, index) => {
    const confidence = confidences[index] ?? 0;
    const bar = make("i");
    bar.style.width = `${Math.max(3, 100 * confidence)}%`;
    row.append(make("button", { class: "letter", type: "button", "aria-label": `${text}, ${percent(confidence)}` },
      make("b", { text }),
      make("span", { class: `meter ${levelOf(confidence)}` }, bar),
      make("small", { text: percent(confidence) })));
  });
  return row;
}

function alternatives(result) {
  const others = result.alternatives.slice(1);
  if (!others.length) return null;
  const list = make("div", { class: "others" }, make("h3", { text: "It might also say" }));
  for (const { text, confidence } of others) {
    const bar = make("i");
    bar.style.width = `${100 * confidence}%`;
    list.append(make("span", { class: "text", text }), make("span", { class: "meter" }, bar),
      make("span", { class: "n", text: percent(confidence) }));
  }
  return list;
}

// Pointing at a letter shows where it was read.
async function explained(blob, model, row, stage, hint) {
  if (!model.explains) { hint.remove(); return; }
  const told = await ask(`/page/explain?model=${encodeURIComponent(model.name)}`, blob);
  const found = told.characters ?? [];
  const shown = [...row.children];
  if (told.error || !found.length) { hint.remove(); return; }
  const same = found.slice(0, shown.length).map((one) => one.text).join("") === shown.map((one) => one.querySelector("b").textContent).join("");
  if (!same) { hint.textContent = "It was read in another view of the image, so there is no map of where."; return; }
  const canvas = make("canvas", { class: "looked", "aria-hidden": "true" });
  stage.append(canvas);
  const show = (index) => {
    shown.forEach((one, at) => one.classList.toggle("on", at === index));
    if (index < 0) clear(canvas);
    else if (told.kind === "attention") heat(canvas, found[index].grid);
    else column(canvas, found[index].at, shown.length);
  };
  shown.forEach((one, index) => {
    for (const kind of ["pointerenter", "focus", "click"]) one.addEventListener(kind, () => show(index));
  });
  row.addEventListener("pointerleave", () => show(-1));
  row.addEventListener("focusout", () => show(-1));
  hint.textContent = told.kind === "attention"
    ? "Point at a letter to see what the model attended to."
    : "Point at a letter to see where it was read.";
  hint.dataset.ready = told.kind;
}

export function wordBody(blob, answer, model) {
  const [result] = answer.results;
  const stage = make("div", { class: "stage" }, make("img", { src: URL.createObjectURL(blob), alt: result.text || "the image" }));
  const said = make("div", { class: "said" });
  const body = make("div", { class: "body" }, make("div", { class: "view" }, stage), said);
  if (result.error) {
    said.append(make("p", { class: "failed", text: `It cannot be read: ${result.error}` }));
    return body;
  }
  if (!result.text) {
    said.append(make("p", { class: "nothing", text: "Nothing to read was found." }));
    return body;
  }
  const row = letters([...result.text], result.character_confidences);
  const hint = make("p", { class: "hint", text: " " });
  said.append(row, make("div", { class: "whole" },
    make("span", { class: `chip ${levelOf(result.confidence)}`, text: percent(result.confidence) }),
    make("span", { text: "that all of it is right" }),
    result.rotation ? make("span", { text: `turned by ${result.rotation}° to be read` }) : null),
  alternatives(result), hint);
  if (answer.decoding === "lines" || result.rotation) hint.remove();
  else explained(blob, model, row, stage, hint).catch(() => hint.remove());
  return body;
}

export function wordCard(card, name, blob, answer, model, ms) {
  const [result] = answer.results;
  card.className = "card word";
  card.replaceChildren(
    head(card, name, `${answer.model}, ${answer.decoding}, ${ms} ms`,
      result.text ? copyButton("Copy text", () => result.text) : null,
      copyButton("Copy JSON", () => JSON.stringify(result, null, 2))),
    wordBody(blob, answer, model));
}

export function photoCard(card, name, blob, answer, model, ms, note) {
  const [page] = answer.results;
  if (page.error) { failed(card, name, `It cannot be read: ${page.error}`); return; }
  const lines = page.paragraphs.flatMap((one) => one.lines);
  const words = lines.flatMap((one) => one.words);
  const image = make("img", { src: URL.createObjectURL(blob), alt: page.text || "the photograph" });
  const [shapes, buttons] = [[], []];
  const detail = make("div", { class: "detail", hidden: "" });
  const mark = (index, on) => {
    shapes[index]?.classList.toggle("on", on);
    buttons[index]?.classList.toggle("on", on);
  };
  const listen = (one, index) => {
    one.addEventListener("pointerenter", () => mark(index, true));
    one.addEventListener("pointerleave", () => mark(index, false));
    one.addEventListener("click", () => lookCloser(image, words[index], detail, model));
  };
  const sheet = outlines(page.size, words, (shape, index) => { shapes[index] = shape; listen(shape, index); });
  const text = make("div", { class: "paragraphs" });
  for (const paragraph of page.paragraphs) {
    const block = make("div", { class: "paragraph" });
    for (const line of paragraph.lines) {
      const row = make("p");
      for (const word of line.words) {
        const button = make("button", { type: "button", class: levelOf(word.confidence), text: word.text, title: percent(word.confidence) });
        listen(button, buttons.push(button) - 1);
        row.append(button, " ");
      }
      block.append(row);
    }
    text.append(block);
  }
  if (!words.length) text.append(make("p", { class: "nothing", text: "No words were found." }));
  const count = `${words.length} ${words.length === 1 ? "word" : "words"}`;
  card.className = "card photo";
  card.replaceChildren(
    head(card, name, `${answer.model}, ${count}, ${ms} ms`,
      words.length ? copyButton("Copy text", () => page.text) : null,
      copyButton("Copy JSON", () => JSON.stringify(page, null, 2)),
      words.length ? make("button", {
        class: "small", type: "button", text: "Save annotated",
        onclick: async () => download(await annotated(image, words, getComputedStyle(document.documentElement)),
          `${name.replace(/\.\w+$/, "")}-read.png`),
      }) : null),
    make("div", { class: "body" },
      make("div", { class: "view" }, make("div", { class: "stage" }, image, sheet)),
      make("div", { class: "said" }, make("div", {}, text,
        note ? make("p", { class: "hint", text: note }) : null,
        words.length ? make("p", { class: "hint", text: "Choose a word to look closer." }) : null))),
    detail);
}

async function lookCloser(image, word, detail, model) {
  const blob = await cutOut(image, word.quad);
  detail.hidden = false;
  detail.className = "detail word";
  detail.replaceChildren(make("div", { class: "wait", text: `Looking closer at ${word.text}` }));
  try {
    const answer = await ask(`/read?decoding=search&model=${encodeURIComponent(model.name)}`, blob);
    detail.replaceChildren(wordBody(blob, answer, model));
    detail.scrollIntoView({ block: "nearest", behavior: "smooth" });
  } catch (error) {
    detail.replaceChildren(make("div", { class: "said" }, make("p", { class: "failed", text: error.message })));
  }
}
