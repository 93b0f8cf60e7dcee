// SPDX-License-Identifier: Apache-2.0
// The stream of events, opened again whenever it ends.
//
// It is read by fetch, because an EventSource can't send an Authorization header.

import { SILENT, authorization } from "./server.js";

const SILENCE_MS = 4000; // ticks come five times a second
const RETRY_MS = 1000;

export class Stream {
  /** `tell` gets {data: snapshot}, {lost: why} or {refused: token}. */
  constructor(token, tell) {
    this.token = token;
    this.tell = tell;
    this.control = null;
    this.retry = null;
  }

  close() {
    clearTimeout(this.retry);
    this.control?.abort();
    this.control = null;
  }

  /** Open it, anew if it is open: whoever listens gets all that is remembered. */
  async open() {
    this.close();
    const control = new AbortController();
    this.control = control;
    const message = await this.listen(control);
    if (control !== this.control) return; // closed on purpose
    this.control = null;
    if (message === null) {
      this.tell({ refused: this.token });
      return;
    }
    this.tell({ lost: message });
    this.retry = setTimeout(() => this.open(), RETRY_MS);
  }

  /** Pass on events until the stream ends; return why it did, null if the token is refused. */
  async listen(control) {
    let watchdog = null;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => control.abort(), SILENCE_MS);
    };
    try {
      alive();
      const options = { headers: authorization(this.token), signal: control.signal, cache: "no-store" };
      const response = await fetch("/events", options);
      if (response.status === 401) return null;
      if (!response.ok) return (await response.json()).error ?? SILENT;
      await this.read(response.body.getReader(), alive);
      return "The server has ended the stream";
    } catch {
      return SILENT;
    } finally {
      clearTimeout(watchdog);
    }
  }

  async read(reader, alive) {
    const decoder = new TextDecoder();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      text += decoder.decode(value, { stream: true });
      const events = text.split("\n\n");
      text = events.pop();
      events.forEach((event) => this.dispatch(event));
    }
  }

  dispatch(event) {
    const data = event.split("\n").find((line) => line.startsWith("data: "));
    if (data) this.tell({ data: JSON.parse(data.slice(6)) });
  }
}
