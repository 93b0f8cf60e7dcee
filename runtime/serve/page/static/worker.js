// SPDX-License-Identifier: Apache-2.0
// One stream for all pages of a browser that present the same token.
//
// A browser opens six connections to a server at most, so each page with one of its own would
// leave the seventh page, and every request of the six, waiting for ever.

import { Stream } from "./stream.js";

const streams = new Map(); // by token: the stream, and the ports of the pages that look

addEventListener("connect", ({ ports: [port] }) => {
  let followed = null;
  port.onmessage = ({ data: { token } }) => {
    if (followed !== null) leave(port, followed);
    followed = token;
    if (token !== null) join(port, token);
  };
});

function join(port, token) {
  if (!streams.has(token)) {
    const ports = new Set();
    const stream = new Stream(token, (message) => ports.forEach((one) => one.postMessage(message)));
    streams.set(token, { ports, stream });
  }
  const { ports, stream } = streams.get(token);
  ports.add(port);
  stream.open(); // the new page needs all that is remembered; the others drop what they have
}

function leave(port, token) {
  const { ports, stream } = streams.get(token);
  ports.delete(port);
  if (ports.size > 0) return;
  stream.close();
  streams.delete(token);
}
