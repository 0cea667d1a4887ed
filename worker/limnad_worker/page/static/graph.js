// The dataflow graph as SVG: stages with what goes through them, loops as boxes with their feedback edges.

import { layout } from "./layout.js";
import { html, nothing, svg } from "./vendor/lit-html.js";
import { bytes, frontier, short } from "./words.js";

const FONT = "600 13px system-ui, sans-serif";
const SYSTEM = { ingress: "enter", egress: "leave", feedback: "feedback" };
const LABEL_CHARACTERS = 28;
const STAGE_WIDTH = { least: 220, most: 300 };
const BESIDE_LABEL = 26;
const BESIDE_FAILED = 66;

const pen = document.createElement("canvas").getContext("2d");

/** The text, cut to a width in pixels. */
function fitted(text, width, font = FONT) {
  pen.font = font;
  if (pen.measureText(text).width <= width) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (pen.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return `${text.slice(0, low)}…`;
}

/** All stages are as wide as the longest label wants to have its own. */
function stageWidth(job) {
  pen.font = FONT;
  const wanted = job.stages.filter((stage) => !isSystem(stage)).map(({ label }) => pen.measureText(label).width + BESIDE_FAILED);
  return Math.ceil(Math.min(STAGE_WIDTH.most, Math.max(STAGE_WIDTH.least, ...wanted)));
}

const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

export const isSystem = (stage) => stage.kind in SYSTEM;
export const isSink = (stage, number, job) => !job.connectors.some((edge) => edge.source === number);

/** Draws jobs; keeps the layout for as long as the graph is the same. */
export class GraphView {
  #key = "";
  #layout = null;

  /** @param chosen The number of the chosen stage, or null. */
  template(job, rates, chosen) {
    const key = JSON.stringify([job.stages.map(({ name, home }) => [name, home]), job.connectors, job.loops]);
    if (key !== this.#key) [this.#key, this.#layout] = [key, layout({ ...job, stageWidth: stageWidth(job) })];
    const { width, height, stages, loops, connectors } = this.#layout;
    const depth = (loop) => (loop === null ? 0 : 1 + depth(job.loops[loop].parent));
    const outerFirst = loops.map((_, index) => index).sort((one, two) => depth(one) - depth(two));
    return html`<svg class="graph" viewBox="0 0 ${Math.ceil(width)} ${Math.ceil(height)}" width=${Math.ceil(width)}
        height=${Math.ceil(height)} role="group" aria-label="Dataflow graph of ${job.job}">
      <defs>
        ${["", "loop"].map((kind) => svg`<marker id="arrow${kind}" class="arrow ${kind}" viewBox="0 0 8 8" refX="7" refY="4"
          markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0.5 8,4 0,7.5z"/></marker>`)}
      </defs>
      ${outerFirst.map((index) => drawLoop(job, index, loops[index]))}
      ${job.connectors.map((edge, index) => drawEdge(job, edge, connectors[index], rates))}
      ${job.stages.map((stage, index) => drawStage(job, stage, index, stages[index], rates, chosen))}
      ${job.connectors.map((edge, index) => drawLabel(edge, connectors[index]))}
    </svg>`;
  }
}

function drawLoop(job, index, place) {
  const { name } = job.loops[index];
  return svg`<g class="loop ${place.depth % 2 ? "odd" : "even"}">
    <rect x=${place.x} y=${place.y} width=${place.width} height=${place.height} rx="14"></rect>
    <text x=${place.x + place.width - 12} y=${place.y + 19} text-anchor="end">${fitted(`loop ${name}`, place.width / 2 - 48, "600 12px system-ui")}<title>loop ${name}</title></text>
  </g>`;
}

/** Rows a second that a stage sends; of one that only changes times, what is sent into it. */
function flow(job, number, rates, seen = new Set()) {
  const stage = job.stages[number];
  if (!isSystem(stage)) return rates.stage(number).out ?? 0;
  if (seen.has(number)) return 0;
  seen.add(number);
  const into = job.connectors.filter((edge) => edge.target === number);
  return into.reduce((sum, edge) => sum + flow(job, edge.source, rates, seen), 0);
}

function drawEdge(job, edge, place, rates) {
  if (place === null) return nothing;
  const back = edge.feedback || job.stages[edge.target].kind === "feedback";
  const busy = job.state === "running" && flow(job, edge.source, rates) > 0;
  const kind = `${back ? " back" : ""}${edge.partition ? " exchange" : ""}${busy ? " busy" : ""}`;
  // Into a feedback stage there is no arrow: it is one line from the loop's end to its beginning.
  const marker = job.stages[edge.target].kind === "feedback" ? nothing : `url(#arrow${back ? "loop" : ""})`;
  return svg`<path class="edge${kind}" d=${place.path} marker-end=${marker}></path>`;
}

function drawLabel(edge, place) {
  if (!edge.partition || place === null) return nothing;
  return svg`<text class="partition" x=${place.x} y=${place.y + 4} >${cut(edge.partition, LABEL_CHARACTERS)}<title>${edge.partition}</title></text>`;
}

function drawStage(job, stage, index, place, rates, chosen) {
  if (place === null) return nothing;
  const at = `translate(${place.x},${place.y})`;
  if (isSystem(stage)) {
    return svg`<g class="pill ${stage.kind}" transform=${at}><title>${stage.name}</title>
      <rect width=${place.width} height=${place.height} rx=${place.height / 2}></rect>
      <text x=${place.width / 2} y=${place.height / 2 + 4} text-anchor="middle">${SYSTEM[stage.kind]}</text>
    </g>`;
  }
  const told = rates.stage(index);
  const isInput = stage.kind === "input";
  const running = job.state === "running" && told.in !== null;
  const rows = isInput ? stage.rows_out : stage.rows_in;
  const main = running ? `${short(isInput ? told.out : told.in)} rows/s` : `${short(rows)} ${rows === 1 ? "row" : "rows"}`;
  const busy = running ? Math.min(1, told.busy / Math.max(1, job.width)) : 0;
  const failed = job.failure?.stage === stage.name;
  const kind = isInput ? "input" : isSink(stage, index, job) ? "sink" : "compute";
  const state = `${index === chosen ? " chosen" : ""}${failed ? " failed" : ""}`;
  const spoken = `${stage.label}: ${main}, ${bytes(stage.queued_bytes)} queued, frontier ${frontier(stage.frontier)}${failed ? ", failed" : ""}`;
  const href = `#/jobs/${encodeURIComponent(job.job)}/${index === chosen ? "" : index}`;
  return svg`<a class="stage ${kind}${state}" href=${href} transform=${at} aria-label=${spoken} aria-current=${index === chosen}>
    <rect class="card" width=${place.width} height=${place.height} rx="9"></rect>
    <path class="kind" d="M9,0 A9,9 0 0 0 0,9 V${place.height - 9} A9,9 0 0 0 9,${place.height} H5 V0z"></path>
    <text class="label" x="15" y="21">${fitted(stage.label, place.width - (failed ? BESIDE_FAILED : BESIDE_LABEL))}<title>${stage.label}</title></text>
    ${failed ? svg`<text class="mark" x=${place.width - 10} y="21" text-anchor="end">failed</text>` : nothing}
    <text class="rate" x="15" y="40">${main}</text>
    <text class="queue ${stage.queued_bytes ? "some" : ""}" x=${place.width - 10} y="40" text-anchor="end">${stage.queued_bytes ? `${bytes(stage.queued_bytes)} queued` : "no queue"}</text>
    <text class="frontier" x="15" y="57">${stage.frontier === null ? "frontier unknown" : stage.frontier.length ? `frontier ${frontier(stage.frontier)}` : "complete"}</text>
    <rect class="busy-track" x=${place.width - 60} y="51" width="50" height="5" rx="2.5"></rect>
    <rect class="busy-bar" x=${place.width - 60} y="51" width=${Math.round(50 * busy)} height="5" rx="2.5"><title>busy ${Math.round(busy * 100)} %</title></rect>
  </a>`;
}
