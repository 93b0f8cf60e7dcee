// SPDX-License-Identifier: Apache-2.0
// What happens on the server, for this page: followed while somebody looks at it.

import { refused, token } from "./server.js";
import { Stream } from "./stream.js";

export class Feed {
  /** `handlers`: event(snapshot), lost(message). */
  constructor(handlers) {
    this.handlers = handlers;
    this.followed = null; // the token with which it is followed, null while it is not
    this.wanted = true;
    this.send = this.shared() ?? this.alone();
    document.addEventListener("visibilitychange", () => this.update());
    addEventListener("pagehide", () => this.follow(null));
    addEventListener("pageshow", () => this.update());
  }

  /** Begin, or go on with another token. */
  start() {
    this.wanted = true;
    this.update();
  }

  /** Wait for `start`: without another token there is nothing to ask for. */
  stop() {
    this.wanted = false;
    this.update();
  }

  update() {
    this.follow(this.wanted && !document.hidden ? token() : null);
  }

  follow(token) {
    if (token === this.followed) return;
    this.followed = token;
    this.send(token);
  }

  shared() {
    if (typeof SharedWorker === "undefined") return null; // Chrome on Android has none
    const worker = new SharedWorker("/page/worker.js", { type: "module" });
    worker.port.onmessage = ({ data }) => this.told(data);
    worker.onerror = () => {
      this.send = this.alone();
      this.send(this.followed);
    };
    return (token) => worker.port.postMessage({ token });
  }

  alone() {
    let stream = null;
    return (token) => {
      stream?.close();
      stream = token === null ? null : new Stream(token, (message) => this.told(message));
      stream?.open();
    };
  }

  told(message) {
    if (this.followed === null) return; // it was on its way when the page was hidden
    if (message.data) this.handlers.event(message.data);
    else if (message.lost) this.handlers.lost(message.lost);
    else refused(message.refused);
  }
}
