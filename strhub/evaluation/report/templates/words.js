"use strict";
const data = JSON.parse(document.getElementById("data").textContent);

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// Label above text, characters that differ marked: [label's, text's, "=", "s", "d" or "i"].
function aligned(pairs) {
  const made = element("div", "aligned");
  for (const [label, text, kind] of pairs) {
    made.append(element("span", kind === "=" ? "" : kind, label || "·"), element("span", kind === "=" ? "" : kind, text || "·"));
  }
  return made;
}

function figureOf(word) {
  const made = element("figure");
  made.dataset.word = word.key;
  if (data.images[word.image]) {
    const image = element("img");
    image.src = data.images[word.image];
    image.alt = "label " + word.label;
    made.append(image);
  }
  const caption = element("figcaption");
  for (const reading of word.readings) {
    if (reading.reader) caption.append(element("div", "dim", reading.reader));
    caption.append(aligned(reading.pairs));
    const sure = reading.confidence === null ? "" : (100 * reading.confidence).toFixed(1) + " % sure";
    caption.append(element("div", reading.correct ? "good" : "bad", (reading.correct ? "right" : "wrong") + (sure ? ", " + sure : "")));
  }
  caption.append(element("div", "dim", word.set + " · " + word.name));
  if (word.map) {
    const details = element("details");
    const map = element("img");
    map.src = word.map;
    map.alt = "where each character was read";
    details.append(element("summary", "", "where it looked"), map);
    caption.append(details);
  }
  made.append(caption);
  return made;
}

// A gallery that shows some words at a time, those that `keep` returns true for.
function gallery(holder, button, counter, words, step) {
  let shown = step, keep = () => true;
  function draw() {
    const kept = words.filter(keep);
    holder.replaceChildren(...kept.slice(0, shown).map(figureOf));
    button.hidden = kept.length <= shown;
    counter.textContent = kept.length + " of " + words.length + " words";
  }
  button.addEventListener("click", () => { shown += step; draw(); });
  return { filter(rule) { keep = rule; shown = step; draw(); } };
}
