// Rows a second over the last few seconds, from counts that only grow until workers are started again.

const WINDOW_S = 3; // short enough to follow, long enough to read
const KEPT = 120; // points of a curve: a minute

export class Rates {
  constructor() {
    this.samples = [];
    this.curve = [];
    this.generation = null;
  }

  /** Notes the counts of a job's content. */
  add(content) {
    if (content.recovery.generation !== this.generation) {
      this.generation = content.recovery.generation;
      this.samples = [];
    }
    this.samples.push({
      at: content.now_s,
      rows: content.rows_in,
      stages: (content.stages ?? []).map((stage) => ({ in: stage.rows_in, out: stage.rows_out, busy: stage.busy_s })),
    });
    while (this.samples.length > 2 && content.now_s - this.samples[1].at >= WINDOW_S) this.samples.shift();
    this.curve.push(this.rows ?? 0);
    if (this.curve.length > KEPT) this.curve.shift();
  }

  /** Rows that sources read a second; null: not known yet. */
  get rows() {
    return this.#rate((sample) => sample.rows);
  }

  /** Of a stage: rows in and out a second, and how many workers it keeps busy. */
  stage(number) {
    return {
      in: this.#rate((sample) => sample.stages[number]?.in),
      out: this.#rate((sample) => sample.stages[number]?.out),
      busy: this.#rate((sample) => sample.stages[number]?.busy),
    };
  }

  #rate(count) {
    const [first, last] = [this.samples[0], this.samples.at(-1)];
    if (!first || last.at <= first.at) return null;
    const [before, now] = [count(first), count(last)];
    return before === undefined || now === undefined ? null : Math.max(0, (now - before) / (last.at - first.at));
  }
}
