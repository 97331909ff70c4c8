const field = (name) => document.getElementById("by-" + name);
const byKey = new Map(data.words.map((word) => [word.key, word]));
const errors = data.errors.map((key) => byKey.get(key));
const errorGallery = gallery(
  document.getElementById("gallery"), document.getElementById("more"), document.getElementById("count"), errors, 48);

function filterErrors() {
  const set = field("set").value, slice = field("slice").value, part = field("part").value;
  const text = field("text").value.toLowerCase(), kind = field("kind").value;
  errorGallery.filter((word) =>
    (!set || word.set === set) && (!slice || !part || word.slices[slice] === part) &&
    (!text || word.readings[0].text.toLowerCase().includes(text) || word.label.toLowerCase().includes(text)) &&
    (!kind || word.readings[0].pairs.some((pair) => pair[2] === kind)));
}

field("slice").addEventListener("change", () => {
  const parts = data.parts[field("slice").value] || [];
  field("part").replaceChildren(new Option("all", ""), ...parts.map((part) => new Option(part)));
  field("part").disabled = !parts.length;
  filterErrors();
});
for (const name of ["set", "part", "kind"]) field(name).addEventListener("change", filterErrors);
field("text").addEventListener("input", filterErrors);
filterErrors();

const matrix = document.getElementById("matrix");
if (matrix) {
  matrix.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    for (const other of matrix.querySelectorAll("[aria-pressed=true]")) other.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", "true");
    const { label, text } = button.dataset;
    const found = data.examples.find((one) => one.label === label && one.text === text);
    document.getElementById("confused").replaceChildren(
      ...(found ? found.words : []).map((key) => figureOf(byKey.get(key))));
  });
}
document.getElementById("suspected").replaceChildren(
  ...data.suspects.slice(0, 24).map((key) => figureOf(byKey.get(key))));
