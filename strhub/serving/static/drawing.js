// What is drawn over images: outlines of words, and where a model looked.

export const levelOf = (confidence) =>
  confidence >= 0.9 ? "sure" : confidence >= 0.6 ? "fair" : "doubtful";

// 100 % is said of what is certain alone.
export function percent(value) {
  if (value < 0.0005) return "< 0.1 %";
  if (value >= 0.9995) return "100 %";
  return `${(100 * value).toFixed(value >= 0.99 || value < 0.1 ? 1 : 0)} %`;
}

export function make(tag, options = {}, ...children) {
  const { class: kind, text, ...attributes } = options;
  const one = document.createElement(tag);
  if (kind) one.className = kind;
  if (text !== undefined) one.textContent = text;
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) one.addEventListener(name.slice(2), value);
    else one.setAttribute(name, value);
  }
  one.append(...children.filter(Boolean));
  return one;
}

const SVG = "http://www.w3.org/2000/svg";

export function outlines([width, height], words, onWord) {
  const sheet = document.createElementNS(SVG, "svg");
  sheet.setAttribute("viewBox", `0 0 ${width} ${height}`);
  sheet.setAttribute("preserveAspectRatio", "none");
  words.forEach((word, index) => {
    const shape = document.createElementNS(SVG, "polygon");
    shape.setAttribute("points", word.quad.map((corner) => corner.join(",")).join(" "));
    shape.setAttribute("class", levelOf(word.confidence));
    const title = document.createElementNS(SVG, "title");
    title.textContent = `${word.text}  ${percent(word.confidence)}`;
    shape.append(title);
    onWord(shape, index);
    sheet.append(shape);
  });
  return sheet;
}

// From dark to bright, as strhub draws attention everywhere.
const COLORS = [[10, 10, 45], [95, 20, 110], [200, 55, 70], [250, 150, 35], [252, 250, 165]];

function colorOf(value) {
  const position = Math.min(0.9999, Math.max(0, value)) * (COLORS.length - 1);
  const [below, part] = [Math.floor(position), position % 1];
  return COLORS[below].map((one, index) => one + (COLORS[below + 1][index] - one) * part);
}

export function heat(canvas, grid) {
  const [rows, columns] = [grid.length, grid[0].length];
  const small = make("canvas", { width: columns, height: rows });
  const pen = small.getContext("2d");
  const pixels = pen.createImageData(columns, rows);
  const most = Math.max(1e-9, ...grid.flat());
  grid.flat().forEach((value, index) => {
    pixels.data.set([...colorOf(value / most), 90 + 130 * (value / most)], 4 * index);
  });
  pen.putImageData(pixels, 0, 0);
  [canvas.width, canvas.height] = [20 * columns, 20 * rows];
  const large = canvas.getContext("2d");
  large.imageSmoothingQuality = "high";
  large.drawImage(small, 0, 0, canvas.width, canvas.height);
}

export function column(canvas, at, count) {
  [canvas.width, canvas.height] = [800, 40];
  const pen = canvas.getContext("2d");
  const half = Math.max(8, 400 / Math.max(1, count));
  const shade = pen.createLinearGradient(800 * at - half, 0, 800 * at + half, 0);
  shade.addColorStop(0, "rgba(250, 150, 35, 0)");
  shade.addColorStop(0.5, "rgba(250, 150, 35, 0.75)");
  shade.addColorStop(1, "rgba(250, 150, 35, 0)");
  pen.fillStyle = "rgba(10, 10, 45, 0.45)";
  pen.fillRect(0, 0, 800, 40);
  pen.globalCompositeOperation = "destination-out";
  pen.fillStyle = shade;
  pen.fillRect(0, 0, 800, 40);
  pen.globalCompositeOperation = "source-over";
  pen.fillStyle = "rgba(250, 110, 35, 0.95)";
  pen.fillRect(800 * at - 1.5, 0, 3, 40);
}

export const clear = (canvas) => canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);

// The image with its outlines, as a file.
export async function annotated(image, words, style) {
  const ratio = Math.min(1, 2400 / Math.max(image.naturalWidth, image.naturalHeight));
  const [width, height] = [image.naturalWidth * ratio, image.naturalHeight * ratio];
  const canvas = make("canvas", { width: Math.round(width), height: Math.round(height) });
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0, width, height);
  const size = Math.max(11, Math.round(Math.max(width, height) / 75));
  pen.lineWidth = Math.max(2, size / 7);
  pen.font = `600 ${size}px system-ui, sans-serif`;
  for (const word of words) {
    const color = style.getPropertyValue(`--${levelOf(word.confidence)}`).trim();
    const corners = word.quad.map(([x, y]) => [x * ratio, y * ratio]);
    pen.strokeStyle = color;
    pen.beginPath();
    corners.forEach(([x, y]) => pen.lineTo(x, y));
    pen.closePath();
    pen.stroke();
    const [left, top] = [Math.min(...corners.map(([x]) => x)), Math.min(...corners.map(([, y]) => y))];
    const above = top > 1.5 * size ? top - 0.4 * size : top + 1.1 * size;
    pen.fillStyle = "rgba(255, 255, 255, 0.85)";
    pen.fillRect(left, above - size, pen.measureText(word.text).width + 6, 1.25 * size);
    pen.fillStyle = "#17202b";
    pen.fillText(word.text, left + 3, above);
  }
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

// A word of a photograph, its line made level, with some room around it.
export async function cutOut(image, quad) {
  const [a, b, c, d] = quad;
  const length = (p, q) => Math.hypot(q[0] - p[0], q[1] - p[1]);
  const [width, height] = [Math.max(length(a, b), length(d, c)), Math.max(length(a, d), length(b, c))];
  const room = 0.1 * Math.min(width, height);
  const ratio = Math.min(4, Math.max(1, 48 / height));
  const canvas = make("canvas", {
    width: Math.max(1, Math.round(ratio * (width + 2 * room))),
    height: Math.max(1, Math.round(ratio * (height + 2 * room))),
  });
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.scale(ratio, ratio);
  pen.translate(room, room);
  // The parallelogram of three corners to a rectangle.
  const [ux, uy] = [(b[0] - a[0]) / width, (b[1] - a[1]) / width];
  const [vx, vy] = [(d[0] - a[0]) / height, (d[1] - a[1]) / height];
  const area = ux * vy - uy * vx || 1;
  pen.transform(vy / area, -uy / area, -vx / area, ux / area,
    (-vy * a[0] + vx * a[1]) / area, (uy * a[0] - ux * a[1]) / area);
  pen.drawImage(image, 0, 0);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}
