// SPDX-License-Identifier: Apache-2.0
// Requests to the server, with a token where one is wanted.

const KEY = "aio-token";
const PATIENCE_MS = 10000;
// What RFC 6750 lets a header carry; fetch throws on much else, before anything is sent.
const SENDABLE = /^[A-Za-z0-9\-._~+/]+=*$/;

export const SILENT = "The server does not answer";

let tellRefused = () => {};

/** Call `handler(presented)` when the server wants a token, or another than the one presented. */
export function whenRefused(handler) {
  tellRefused = handler;
}

export function token() {
  const kept = sessionStorage.getItem(KEY) ?? "";
  return SENDABLE.test(kept) ? kept : "";
}

/** Keep a token for this tab; returns false for one that no request could carry. */
export function setToken(text) {
  if (!SENDABLE.test(text)) return false;
  sessionStorage.setItem(KEY, text);
  return true;
}

/** Forget a token that was refused, unless another was given meanwhile. */
export function refused(presented) {
  if (presented !== token()) return;
  sessionStorage.removeItem(KEY);
  tellRefused(presented !== "");
}

export function authorization(presented) {
  return presented ? { Authorization: `Bearer ${presented}` } : {};
}

/** Send a request; JSON in, JSON out. Throws an Error that says in words what went wrong. */
export async function ask(path, body) {
  const presented = token();
  const response = await fetch(path, {
    method: "POST",
    headers: { ...authorization(presented), "Content-Type": "application/json" },
    body: JSON.stringify(body),
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE_MS),
  }).catch(() => {
    throw new Error(SILENT);
  });
  const answer = await response.json().catch(() => ({})); // a proxy's; its status says enough
  if (response.status === 401) refused(presented);
  if (!response.ok) throw new Error(answer.error ?? `The server answered ${response.status}`);
  return answer;
}
