// Numbers, sizes and times as people read them.

/** A number at a glance: 950, 12.3 k, 118 k, 7.9 M. */
export function short(number) {
  for (const [factor, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (number >= factor) return `${(number / factor).toFixed(number < 99.95 * factor ? 1 : 0)} ${unit}`;
  }
  return number > 0 && number < 9.95 && !Number.isInteger(number) ? number.toFixed(1) : number.toFixed(0);
}

export const whole = (number) => number.toLocaleString("en");

export const bytes = (size) => (size >= 1000 ? `${short(size)}B` : `${size} B`);

export const rate = (rows) => (rows === null ? "–" : `${short(rows)}/s`);

/** Seconds: 4.2 ms, 12.3 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. */
export function duration(seconds) {
  if (!seconds) return "0 s";
  if (seconds < 0.9995) return `${(seconds * 1000).toFixed(seconds < 0.00995 ? 1 : 0)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  for (const [size, unit, part, small] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ${Math.floor((seconds % size) / part)} ${small}`;
  }
  return "";
}

export function ago(then, now) {
  const seconds = Math.max(0, now - then);
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return seconds < 2 ? "now" : `${Math.floor(seconds)} s ago`;
}

export const clock = (seconds) => new Date(seconds * 1000).toLocaleString("en-GB");

export const plural = (count, word, words = `${word}s`) => `${whole(count)} ${count === 1 ? word : words}`;

/** A frontier in the paper's notation: (5, 0, 2). */
export function frontier(times) {
  if (times === null) return "–";
  if (!times.length) return "complete";
  return `(${times[0].join(", ")})${times.length > 1 ? " …" : ""}`;
}
