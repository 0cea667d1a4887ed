// The line to the leader: server-sent events, read with fetch because EventSource cannot send a token.

const SILENCE_MS = 15000; // the leader says something every five seconds
const RETRY_MS = [300, 1000, 2000, 4000];
const TOKEN = "limnad.token";

/** The token of this tab: from the address (#token=..., which is never sent), or as it was given before. */
export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (value) => sessionStorage.setItem(TOKEN, value),
  takeFromAddress() {
    const given = /^#token=([^&]+)/.exec(location.hash);
    if (!given) return;
    token.set(decodeURIComponent(given[1]));
    history.replaceState(null, "", "#/");
  },
};

/**
 * Follows one address until it is closed, through every loss.
 *
 * `tell(news)` gets {content}, {state: "live"}, {state: "lost", retryMs}, {state: "ended"}, {state: "token", wrong} or
 * {state: "missing", error}.
 */
export class Follower {
  #abort = new AbortController();
  #tries = 0;
  #wake = () => {};

  constructor(address, tell) {
    this.address = address;
    this.tell = (news) => this.#abort.signal.aborted || tell(news);
    this.#run();
  }

  close() {
    this.#abort.abort();
    this.#wake();
  }

  /** Tries at once, if it waits. */
  retry() {
    this.#wake();
  }

  async #run() {
    while (!this.#abort.signal.aborted) {
      const news = await this.#follow();
      if (this.#abort.signal.aborted) return;
      const retryMs = RETRY_MS[Math.min(this.#tries, RETRY_MS.length - 1)];
      this.#tries += 1;
      this.tell({ ...news, retryMs });
      await new Promise((resolve) => {
        this.#wake = resolve;
        if (news.state !== "token") setTimeout(resolve, retryMs);
      });
    }
  }

  /** One connection from its beginning to its end; what is to be told then. */
  async #follow() {
    const line = new AbortController();
    const hangUp = () => line.abort();
    this.#abort.signal.addEventListener("abort", hangUp);
    let silence = setTimeout(hangUp, SILENCE_MS);
    let ended = false;
    try {
      const mine = token.get();
      const headers = mine ? { Authorization: `Bearer ${mine}` } : {};
      const response = await fetch(this.address, { headers, signal: line.signal, cache: "no-store", credentials: "omit" });
      if (response.status === 401) return { state: "token", wrong: mine !== null };
      if (!response.ok) {
        const { error } = await response.json();
        return response.status === 404 ? { state: "missing", error } : { state: "lost", error };
      }
      this.#tries = 0;
      this.tell({ state: "live" });
      for await (const { name, data } of events(response.body)) {
        clearTimeout(silence);
        silence = setTimeout(hangUp, SILENCE_MS);
        if (name === "content") this.tell({ content: data });
        if (name === "end") ended = true;
      }
    } catch {
      // Whatever broke the line, it is tried again.
    } finally {
      clearTimeout(silence);
      this.#abort.signal.removeEventListener("abort", hangUp);
    }
    return { state: ended ? "ended" : "lost" };
  }
}

/** The events of a stream; a comment comes as one without a name. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const field = (name) => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1];
      const data = field("data");
      yield { name: field("event"), data: data === undefined ? undefined : JSON.parse(data) };
    }
  }
}
