// What is on the page, as templates: everything that comes from a job goes through lit-html, which escapes it.

import { isSink, isSystem } from "./graph.js";
import { html, nothing, svg } from "./vendor/lit-html.js";
import { ago, bytes, clock, duration, frontier, plural, rate, short, whole } from "./words.js";

const EPOCHS_SHOWN = 8;
const HISTORY_SHOWN = 8;
const BARS_SHOWN = 50;
const ENDED = { finished: "has finished", failed: "has failed", cancelled: "was cancelled" };

export const jobAddress = (name) => `#/jobs/${encodeURIComponent(name)}`;

const badge = (state) => html`<span class="badge ${state}">${state}</span>`;

// -- the list ---------------------------------------------------------------------------------------------------------

export function listView(content, ratesOf, error) {
  if (content === null) return loading(error);
  const { jobs } = content;
  if (!jobs.length) return emptyList();
  return html`
    <h1 tabindex="-1">Jobs</h1>
    <table class="jobs panel">
      <thead>
        <tr><th scope="col">job</th><th scope="col">state</th><th scope="col" class="number">epoch</th>
          <th scope="col" class="number">rows in</th><th scope="col" class="number">rows/s</th>
          <th scope="col" class="number">waiting</th><th scope="col" class="number">workers</th>
          <th scope="col" class="number">restarts</th><th scope="col" class="number">ran</th></tr>
      </thead>
      <tbody>${jobs.map((job) => jobRow(job, ratesOf(job.job), content.now_s))}</tbody>
    </table>`;
}

function jobRow(job, rates, now) {
  const cell = (name, value) => html`<td class="number" data-name=${name}>${value}</td>`;
  return html`<tr>
    <th scope="row"><a href=${jobAddress(job.job)}>${job.job}</a>
      <span class="dim">${job.title} · <time title=${clock(job.submitted_s)}>${ago(job.submitted_s, now)}</time></span></th>
    <td>${badge(job.state)}</td>
    ${cell("epoch", epochText(job))} ${cell("rows in", whole(job.rows_in))}
    ${cell("rows/s", job.state === "running" ? rate(rates.rows) : "–")}
    ${cell("waiting", bytes(job.queued_bytes + job.in_flight_bytes))} ${cell("workers", job.width)}
    ${cell("restarts", job.recovery.restarts)} ${cell("ran", duration(job.running_s))}
  </tr>`;
}

const epochText = (job) => (job.epoch !== null ? whole(job.epoch) : job.state === "finished" ? whole(job.epochs_opened) : "–");

function emptyList() {
  return html`<h1 tabindex="-1">Jobs</h1>
    <section class="panel empty">
      <p class="big">No jobs yet</p>
      <p>Submit one, and it shows up here by itself:</p>
      <pre>limnad submit job.py</pre>
    </section>`;
}

export const loading = (error) => html`<p class="panel empty dim">${error ?? "Asking the leader …"}</p>`;

export const missingView = (job) => html`<h1 tabindex="-1">Not here</h1>
  <section class="panel empty"><p class="big">There is no job ${job}</p>
    <p>The newest 100 jobs that have ended are remembered. This page keeps looking.</p>
    <p><a href="#/">All jobs</a></p></section>`;

export function tokenView(wrong, submit) {
  return html`<h1 tabindex="-1">The cluster's token</h1>
    <form class="panel token" @submit=${submit}>
      ${wrong ? html`<p class="wrong" role="alert">The leader does not take that token.</p>` : nothing}
      <label for="token">This leader shows its jobs to those who have its bearer token.</label>
      <input id="token" name="token" type="password" autocomplete="off" required spellcheck="false" />
      <button>Show the jobs</button>
      <p class="dim">It stays in this tab until the tab is closed.</p>
    </form>`;
}

// -- a job ------------------------------------------------------------------------------------------------------------

export function jobView(job, rates, graph, chosen, error) {
  if (job === null) return loading(error);
  return html`
    <nav class="crumbs" aria-label="Where this is"><a href="#/"><span aria-hidden="true">← </span>All jobs</a></nav>
    <div class="title"><h1 tabindex="-1">${job.job}</h1>${badge(job.state)}
      ${headline(job)}
    </div>
    ${failurePanel(job)} ${facts(job, rates)}
    <div class="columns">
      <section class="panel drawing" aria-labelledby="graph-title">
        <h2 id="graph-title">Dataflow</h2>
        ${job.stages.length
          ? html`<div class="scroll" tabindex="0" role="region" aria-labelledby="graph-title">${graph.template(job, rates, chosen)}</div>${legend()}`
          : html`<p class="dim none">The workers are building the graph.</p>`}
      </section>
      <div class="side">
        ${chosen !== null && job.stages[chosen] && !isSystem(job.stages[chosen]) ? stagePanel(job, rates, chosen) : nothing}
        ${epochsPanel(job)} ${checkpointsPanel(job)} ${restartsPanel(job)} ${workersPanel(job)}
      </div>
    </div>
    ${stagesPanel(job, rates, chosen)}`;
}

/** What the job is; or in its place, so that nothing jumps, why it does not go on now. */
function headline(job) {
  const again = job.state === "recovering" && job.recovery.last_fault;
  const trouble = job.recovery.waiting || (again ? `Starting again: ${again}` : "");
  if (trouble) return html`<p class="warn">${trouble}</p>`;
  const when = (at) => html`<time title=${clock(at)}>${ago(at, job.now_s)}</time>`;
  const then = job.ended_s !== null ? html` · ended ${when(job.ended_s)}` : job.draining ? " · draining: its inputs have been told to end" : nothing;
  return html`<p class="dim">${job.title} · ${plural(job.width, "worker")} · submitted ${when(job.submitted_s)}${then}</p>`;
}

function failurePanel(job) {
  const { failure } = job;
  if (failure === null) return nothing;
  return html`<section class="panel failure" aria-labelledby="failure-title">
    <h2 id="failure-title">Why it failed</h2>
    <p class="summary">${failure.summary}</p>
    ${failure.traceback ? html`<pre tabindex="0" aria-label="Traceback">${failure.traceback}</pre>` : nothing}
  </section>`;
}

function facts(job, rates) {
  const running = job.state === "running";
  const waiting = job.queued_bytes + job.in_flight_bytes;
  const { recovery } = job;
  const newest = job.checkpoints.findLast((made) => !made.dropped);
  const fact = (name, value, more = nothing) => html`<div><dt>${name}</dt><dd>${value}</dd><dd class="dim">${more}</dd></div>`;
  return html`<dl class="facts panel">
    ${fact("rows/s in", running ? rate(rates.rows) : "–", running ? sparkline(rates.curve) : `${short(job.running_s > 0 ? job.rows_in / job.running_s : 0)}/s on average`)}
    ${fact("rows in", whole(job.rows_in), `${whole(job.rows_out)} out`)}
    ${fact("epoch", epochText(job), `${plural(job.epochs_opened, "epoch")} opened`)}
    ${fact("waiting", bytes(waiting), !running ? "" : job.waiting_workers ? html`<span class="warn">sources paused</span>` : "sources not held up")}
    ${fact("exchanged", bytes(job.data_bytes), `${bytes(job.progress_bytes)} of progress`)}
    ${fact("checkpoint", recovery.checkpoint === null ? "none" : whole(recovery.checkpoint), newest ? `${duration(newest.halted_s)} halt, ${bytes(newest.stored_bytes)}` : "")}
    ${fact("restarts", whole(recovery.restarts), `generation ${recovery.generation}`)}
    ${fact("ran", duration(job.running_s), `${duration(job.starting_s)} to start`)}
  </dl>`;
}

function sparkline(curve) {
  const most = Math.max(1, ...curve);
  const points = curve.map((value, index) => `${index},${(18 - (16 * value) / most).toFixed(1)}`);
  return html`<svg class="spark" viewBox="0 0 120 20" preserveAspectRatio="none" role="img" aria-label="rows a second in the last minute">
    ${svg`<polygon points=${`0,20 ${points.join(" ")} ${curve.length - 1},20`}></polygon><polyline points=${points.join(" ")}></polyline>`}</svg>`;
}

const legend = () => html`<ul class="legend dim">
  <li><i class="swatch input"></i>input</li><li><i class="swatch compute"></i>compute</li><li><i class="swatch sink"></i>output</li>
  <li>${sample("edge exchange")}exchange between workers</li><li>${sample("edge back")}feedback</li><li><i class="swatch bar"></i>how busy</li>
</ul>`;

const sample = (kind) => html`<svg width="26" height="8" aria-hidden="true">${svg`<path class=${kind} d="M0,4H26"></path>`}</svg>`;

function stagePanel(job, rates, number) {
  const stage = job.stages[number];
  const told = rates.stage(number);
  const running = job.state === "running";
  const ends = (mine, other) =>
    job.connectors
      .filter((edge) => edge[mine] === number)
      .map((edge) => `${job.stages[edge[other]].label}${edge.partition ? ` (${edge.partition})` : ""}`)
      .join(", ") || "–";
  const row = (name, value) => html`<dt>${name}</dt><dd>${value}</dd>`;
  return html`<section class="panel stage-panel" aria-labelledby="stage-title">
    <h2 id="stage-title">${stage.label}</h2><a class="close" href=${jobAddress(job.job)} aria-label="Close the stage">×</a>
    <dl class="pairs">
      ${row("name", stage.name)} ${stage.home === null ? nothing : row("in loop", job.loops[stage.home].name)}
      ${row("rows in", `${whole(stage.rows_in)}${running ? ` · ${rate(told.in)}` : ""}`)}
      ${row("rows out", `${whole(stage.rows_out)}${running ? ` · ${rate(told.out)}` : ""}`)}
      ${row("queued", bytes(stage.queued_bytes))}
      ${row("frontier", stage.frontier === null ? "not known yet" : stage.frontier.length ? stage.frontier.map((time) => `(${time.join(", ")})`).join("  ") : "complete")}
      ${row("notifications", whole(stage.notifications))} ${row("busy", duration(stage.busy_s))}
      ${row("state", bytes(stage.state_bytes))}
      ${row("from", ends("target", "source"))} ${row("to", ends("source", "target"))}
    </dl></section>`;
}

function epochsPanel(job) {
  const ended = job.state in ENDED;
  const workers = job.stages.map((stage, index) => ({ stage, index })).filter(({ stage }) => !isSystem(stage));
  const known = workers.some(({ stage }) => stage.frontier !== null);
  const open = job.epoch === null || ended || !known ? [] : range(job.epoch, Math.max(job.epochs_opened, job.epoch + 1));
  const done = (epoch) => workers.filter(({ stage }) => stage.frontier?.every((time) => time[0] > epoch)).length;
  return html`<section class="panel" aria-labelledby="epochs-title">
    <h2 id="epochs-title">Epochs in flight <span class="count">${whole(open.length)}</span></h2>
    ${open.length
      ? html`<ul class="bars">${open.slice(0, EPOCHS_SHOWN).map((epoch) => html`<li>
          <span>epoch ${whole(epoch)}</span><progress max=${workers.length} value=${done(epoch)} aria-label="stages that have passed epoch ${epoch}"></progress>
          <span class="dim">past ${done(epoch)} of ${plural(workers.length, "stage")}</span></li>`)}</ul>
          ${open.length > EPOCHS_SHOWN ? html`<p class="dim none">and ${plural(open.length - EPOCHS_SHOWN, "more", "more")}, up to epoch ${whole(open.at(-1))}</p>` : nothing}`
      : html`<p class="dim none">${ended ? `None: the job ${ENDED[job.state]}.` : known && job.stages.length ? "None: all that were opened are complete." : "Not known before all workers have been heard."}</p>`}
  </section>`;
}

const range = (from, to) => Array.from({ length: Math.min(to - from, 100000) }, (_, index) => from + index);

function checkpointsPanel(job) {
  const made = [...job.checkpoints].reverse();
  const { recovery } = job;
  return html`<section class="panel" aria-labelledby="checkpoints-title">
    <h2 id="checkpoints-title">Checkpoints <span class="count">${whole(recovery.committed)}</span>
      ${recovery.dropped ? html`<span class="count bad">${whole(recovery.dropped)} dropped</span>` : nothing}</h2>
    ${made.length
      ? html`${checkpointBars(job.checkpoints)}
        <table class="small"><thead><tr><th scope="col">number</th><th scope="col" class="number">halt</th><th scope="col" class="number">stored in</th><th scope="col" class="number">size</th><th scope="col" class="number">when</th></tr></thead>
        <tbody>${made.slice(0, HISTORY_SHOWN).map((each) => checkpointRow(each, job.now_s))}</tbody></table>`
      : html`<p class="dim none">${noCheckpoints(job)}</p>`}
  </section>`;
}

function noCheckpoints(job) {
  if (job.recovery.checkpoint !== null) return `It has started from checkpoint ${whole(job.recovery.checkpoint)}, and has made none since.`;
  if (job.durable) return job.state in ENDED ? "None: the job ended before the first one." : "None yet.";
  return html`The job keeps none, and does not survive the loss of a worker. With a store (<code>--store</code>) it would.`;
}

function checkpointRow(made, now) {
  const when = html`<td class="number"><time title=${clock(made.at_s)}>${ago(made.at_s, now)}</time></td>`;
  if (made.dropped) {
    return html`<tr class="dropped"><th scope="row">${made.checkpoint ?? "–"}</th><td colspan="3">dropped: ${made.dropped}</td>${when}</tr>`;
  }
  return html`<tr><th scope="row">${whole(made.checkpoint)}</th><td class="number">${duration(made.halted_s)}</td>
    <td class="number">${duration(made.stored_s)}</td><td class="number">${bytes(made.stored_bytes)}</td>${when}</tr>`;
}

function checkpointBars(all) {
  const shown = all.slice(-BARS_SHOWN);
  const most = Math.max(1e-6, ...shown.map((made) => made.halted_s));
  return html`<svg class="checkpoint-bars" viewBox="0 0 ${6 * BARS_SHOWN} 34" width=${6 * BARS_SHOWN} height="34" role="img" aria-label="How long the last ${shown.length} checkpoints halted the job, at most ${duration(most)}">
    ${shown.map((made, index) => {
      const height = made.dropped ? 32 : 3 + (29 * made.halted_s) / most;
      return svg`<rect class=${made.dropped ? "dropped" : ""} x=${6 * index} y=${34 - height} width="4" height=${height} rx="1.5"></rect>`;
    })}</svg>`;
}

function restartsPanel(job) {
  if (!job.restarts.length) return nothing;
  const shown = [...job.restarts].reverse().slice(0, HISTORY_SHOWN);
  const more = job.restarts.length - shown.length;
  return html`<section class="panel" aria-labelledby="restarts-title">
    <h2 id="restarts-title">Why it was started again</h2>
    <ol class="restarts">${shown.map((restart) => html`<li><p>${restart.reason}</p>
      <p class="dim">${restart.generation ? `generation ${restart.generation} · ` : nothing}<time title=${clock(restart.at_s)}>${ago(restart.at_s, job.now_s)}</time></p></li>`)}</ol>
    ${more > 0 ? html`<p class="dim none">and ${whole(more)} earlier</p>` : nothing}
  </section>`;
}

function workersPanel(job) {
  if (!job.workers.length) return nothing;
  return html`<section class="panel workers" aria-labelledby="workers-title">
    <h2 id="workers-title">Workers <span class="count">${job.width}</span></h2>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="workers-title"><table class="small"><thead><tr><th scope="col">worker</th><th scope="col" class="number">epoch</th><th scope="col" class="number">queued</th><th scope="col" class="number">in flight</th><th scope="col" class="number">busy</th><th scope="col">sources</th></tr></thead>
    <tbody>${job.workers.map((worker, number) => html`<tr class=${job.failure?.worker === number ? "dropped" : ""}><th scope="row">${number}</th>
      <td class="number">${worker.epoch === null ? "–" : whole(worker.epoch)}</td><td class="number">${bytes(worker.queued_bytes)}</td>
      <td class="number">${bytes(worker.in_flight_bytes)}</td><td class="number">${duration(worker.busy_s)}</td>
      <td>${job.state !== "running" ? "–" : worker.waiting_for_credit ? html`<span class="warn">paused</span>` : "reading"}</td></tr>`)}</tbody></table></div>
  </section>`;
}

function stagesPanel(job, rates, chosen) {
  const rows = job.stages.map((stage, index) => ({ stage, index })).filter(({ stage }) => !isSystem(stage));
  if (!rows.length) return nothing;
  const running = job.state === "running";
  return html`<section class="panel" aria-labelledby="stages-title"><h2 id="stages-title">Stages</h2>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="stages-title"><table class="stages"><thead><tr><th scope="col">stage</th><th scope="col" class="number">rows in</th>
      <th scope="col" class="number">rows out</th><th scope="col" class="number">rows/s</th><th scope="col" class="number">busy</th>
      <th scope="col" class="number">queued</th><th scope="col">frontier</th></tr></thead>
    <tbody>${rows.map(({ stage, index }) => {
      const told = rates.stage(index);
      return html`<tr class=${index === chosen ? "chosen" : ""}><th scope="row"><a href="${jobAddress(job.job)}/${index}">${stage.label}</a>
          ${stage.home === null ? nothing : html`<span class="dim">in ${job.loops[stage.home].name}</span>`}</th>
        <td class="number">${whole(stage.rows_in)}</td><td class="number">${isSink(stage, index, job) ? "–" : whole(stage.rows_out)}</td>
        <td class="number">${running ? rate(stage.kind === "input" ? told.out : told.in) : "–"}</td>
        <td class="number">${duration(stage.busy_s)}</td><td class="number">${bytes(stage.queued_bytes)}</td>
        <td>${frontier(stage.frontier)}</td></tr>`;
    })}</tbody></table></div></section>`;
}
