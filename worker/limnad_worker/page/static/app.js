// Which view is shown, what it follows, and whether the leader is there.

import { GraphView } from "./graph.js";
import { Rates } from "./rates.js";
import { Follower, token } from "./source.js";
import { jobView, listView, missingView, tokenView } from "./views.js";
import { html, render } from "./vendor/lit-html.js";

const LEAST_SCALE = 0.72;

const main = document.querySelector("#main");
const link = document.querySelector("#link");

const page = { job: null, stage: null, content: null, state: "connecting", news: {}, follower: null, rates: new Map(), graph: null };

/** What the address asks for: #/ is the list, #/jobs/NAME a job, #/jobs/NAME/3 one of its stages. */
function wanted() {
  const [, job, stage] = /^#\/jobs\/([^/]+)\/?(\d*)$/.exec(location.hash) ?? [];
  return { job: job ? decodeURIComponent(job) : null, stage: stage ? Number(stage) : null };
}

function follow() {
  page.follower?.close();
  Object.assign(page, { content: null, news: {}, graph: new GraphView(), rates: new Map(), state: "connecting" });
  const address = page.job === null ? "api/events" : `api/jobs/${encodeURIComponent(page.job)}/events`;
  page.follower = new Follower(address, hear);
}

function hear(news) {
  if (news.content) {
    page.content = news.content;
    for (const job of news.content.jobs ?? [news.content]) ratesOf(job.job).add({ ...job, now_s: news.content.now_s });
  } else {
    page.state = news.state;
    page.news = news;
  }
  draw();
}

function ratesOf(job) {
  if (!page.rates.has(job)) page.rates.set(job, new Rates());
  return page.rates.get(job);
}

function giveToken(event) {
  event.preventDefault();
  token.set(new FormData(event.target).get("token").trim());
  follow();
}

function view() {
  if (page.state === "token") return tokenView(page.news.wrong, giveToken);
  if (page.state === "missing") return missingView(page.job);
  if (page.job === null) return listView(page.content, ratesOf, page.news.error);
  return jobView(page.content, ratesOf(page.job), page.graph, page.stage, page.news.error);
}

const SAID = {
  connecting: "connecting",
  live: "live",
  lost: "connection lost, trying again",
  ended: "the leader has stopped, looking for the next one",
  token: "waiting for the token",
  missing: "looking for it",
};

function draw() {
  render(view(), main);
  // A picture is made smaller to fit, but not so small that nobody can read it: then it scrolls.
  const drawing = main.querySelector(".graph");
  if (drawing) drawing.style.minWidth = `${Math.round(LEAST_SCALE * drawing.viewBox.baseVal.width)}px`;
  main.classList.toggle("stale", page.content !== null && (page.state === "lost" || page.state === "ended"));
  link.className = `link ${page.state}`;
  render(html`<span class="dot" aria-hidden="true"></span>${(page.state === "lost" && page.news.error) || SAID[page.state]}`, link);
  document.title = page.job === null ? "Limnad" : `${page.job}${page.content ? ` · ${page.content.state}` : ""} · Limnad`;
}

function navigate() {
  const before = page.job;
  const { job, stage } = wanted();
  Object.assign(page, { job, stage });
  if (page.follower !== null && job === before) {
    draw();
    return;
  }
  const first = page.follower === null;
  follow();
  draw();
  if (!first) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

token.takeFromAddress();
addEventListener("hashchange", navigate);
addEventListener("online", () => page.follower.retry());
document.addEventListener("visibilitychange", () => document.hidden || page.follower.retry());
navigate();
