// SPDX-License-Identifier: Apache-2.0
// Talking to the server: requests and the stream of events, with a token where one is wanted.
//
// The stream is read by fetch, because an EventSource can't send an Authorization header.

const KEY = "aio-token";
const SILENCE_MS = 4000; // ticks come five times a second
const RETRY_MS = 1000;

export function setToken(token) {
  sessionStorage.setItem(KEY, token);
}

/** Send a request; JSON in, JSON out. Throws an Error with the server's message. */
export async function ask(path, body) {
  const options = { headers: headers(), cache: "no-store" };
  if (body !== undefined) {
    options.method = "POST";
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const response = await fetch(path, options);
  const text = await response.text();
  let answer = {};
  try {
    answer = JSON.parse(text);
  } catch {
    // A proxy may have answered; its status says enough.
  }
  if (!response.ok) throw new Error(answer.error ?? `the server answered ${response.status}`);
  return answer;
}

function headers() {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** The stream, opened again whenever it ends, but closed while nobody looks at the page. */
export class Stream {
  /** `handlers`: event(name, data), lost(message), refused() when a token is wanted. */
  constructor(handlers) {
    this.handlers = handlers;
    this.control = null;
    this.retry = null;
    document.addEventListener("visibilitychange", () => this.follow());
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", () => this.follow());
  }

  follow() {
    if (document.hidden) this.close();
    else if (this.control === null) this.open();
  }

  close() {
    clearTimeout(this.retry);
    this.control?.abort();
    this.control = null;
  }

  async open() {
    clearTimeout(this.retry);
    const control = new AbortController();
    this.control = control;
    let message = "The server has ended the stream";
    try {
      const response = await fetch("/events", { headers: headers(), signal: control.signal, cache: "no-store" });
      if (response.status === 401) {
        this.control = null;
        this.handlers.refused();
        return;
      }
      if (!response.ok) throw new Error((await response.json()).error);
      await this.read(response.body.getReader(), control);
    } catch (error) {
      if (control !== this.control) return; // closed on purpose
      message = error instanceof TypeError ? "The server does not answer" : error.message;
    }
    if (control !== this.control) return;
    this.control = null;
    this.handlers.lost(message);
    this.retry = setTimeout(() => this.follow(), RETRY_MS);
  }

  async read(reader, control) {
    const decoder = new TextDecoder();
    let text = "";
    let watchdog = null;
    const quiet = () => reader.cancel();
    try {
      for (;;) {
        clearTimeout(watchdog);
        watchdog = setTimeout(quiet, SILENCE_MS);
        const { value, done } = await reader.read();
        if (done || control !== this.control) return;
        text += decoder.decode(value, { stream: true });
        const events = text.split("\n\n");
        text = events.pop();
        events.forEach((event) => this.dispatch(event));
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  dispatch(event) {
    let name = "message";
    let data = null;
    for (const line of event.split("\n")) {
      if (line.startsWith("event: ")) name = line.slice(7);
      else if (line.startsWith("data: ")) data = line.slice(6);
    }
    if (data !== null) this.handlers.event(name, JSON.parse(data));
  }
}
