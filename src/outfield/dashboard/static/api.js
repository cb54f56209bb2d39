/** Questions to the server. */

import { say } from "./dom.js";

const MOST_KEPT = 300;
const WAIT = 1500;
const kept = new Map();

/** What went wrong, in words, and whether to try again makes sense. */
export class Failure extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

const explain = async (response) => {
  if (response.status === 401) {
    return "This server asks for its token. Open the address that outfield serve printed when it started.";
  }
  try {
    return (await response.json()).error || `The server answered ${response.status}.`;
  } catch {
    return `The server answered ${response.status}.`;
  }
};

const rest = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Ask, and while the server still gathers a large study's rows, ask again. */
const ask = async (url, signal) => {
  for (;;) {
    try {
      return await once(url, signal);
    } catch (error) {
      if (error.status !== 503) throw error;
      say(error.message);
      await rest(WAIT);
    }
  }
};

const once = async (url, signal) => {
  let response;
  try {
    response = await fetch(url, { signal, headers: { Accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server does not answer. Is outfield serve still running?");
  }
  if (!response.ok) throw new Failure(await explain(response), response.status);
  return response.json();
};

/** The address of a resource: every segment and value escaped, empty values left out. */
export const url = (segments, query = {}) => {
  const known = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = known.length ? `?${new URLSearchParams(known)}` : "";
  return `/api/${segments.map(encodeURIComponent).join("/")}${search}`;
};

/** An answer as an object; `keep` takes a former answer to the same question. */
export const get = async (segments, query = {}, { signal, keep = false } = {}) => {
  const key = url(segments, query);
  if (keep && kept.has(key)) return kept.get(key);
  const answer = await ask(key, signal);
  if (keep) {
    kept.set(key, answer);
    if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  }
  return answer;
};

/** Forget former answers, so that they are asked again. */
export const forget = () => kept.clear();
