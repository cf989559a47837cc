/** Requests to the server that this page came from, and what is wrong with them in words. */

const KEY = "vlm-api-key";
/** Of an answer at most: enough for pages of text, and an end to an answer that only repeats itself. */
const MOST_TOKENS = 2048;

/** What a person is told. `status` is HTTP's; 0 where no answer came. */
export class Failure extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** Keep the key for this tab. Nothing else is kept, and not for longer. */
export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** Whether there is a key. */
export function hasKey() {
  return Boolean(sessionStorage.getItem(KEY));
}

/** All models that are served, as /v1/models lists them. */
export async function models() {
  return (await (await request("v1/models")).json()).data;
}

/** The boxes of what is looked for in a picture: {places, size, usage}. */
export async function places(model, image, what, signal) {
  return (await request("vlm/detect", { model, image, what }, signal)).json();
}

/**
 * The chunks of a streamed answer, as OpenAI's chat completions have them.
 * @param {string} model
 * @param {Array<{role: string, content: unknown}>} messages
 * @param {AbortSignal} signal ends the answer; the server then stops computing it.
 */
export async function* answer(model, messages, signal) {
  const response = await request(
    "v1/chat/completions",
    { model, messages, max_tokens: MOST_TOKENS, stream: true, stream_options: { include_usage: true } },
    signal,
  );
  for await (const line of lines(response.body)) {
    if (line === "data: [DONE]") return;
    if (!line.startsWith("data: ")) continue; // an empty line between events, or a comment that keeps the line open
    const chunk = JSON.parse(line.slice("data: ".length));
    if (chunk.error) throw new Failure(chunk.error.message, response.status);
    yield chunk;
  }
  throw new Failure("The connection was lost before the end of the answer. Try again.");
}

async function request(path, body, signal) {
  const key = sessionStorage.getItem(KEY);
  const text = body && JSON.stringify(body);
  let response;
  try {
    response = await fetch(path, {
      method: body ? "POST" : "GET",
      headers: {
        ...(body && { "Content-Type": "application/json" }),
        ...(key && { Authorization: `Bearer ${asBytes(key)}` }),
      },
      body: text,
      signal,
      cache: "no-store",
      redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(unreachable(text));
  }
  if (!response.ok) throw new Failure(await reason(response), response.status);
  return response;
}

/** A text's UTF-8 as fetch wants it in a header: a letter for each byte. */
function asBytes(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

/** Why no answer may have come. A server that refuses a large body may close the connection while it is sent. */
function unreachable(text) {
  const megabytes = Math.round((text?.length ?? 0) / 1e6);
  return megabytes < 20
    ? "The server cannot be reached. Check that vlm serve is running."
    : `The server cannot be reached, or it does not take ${megabytes} MB at once. Try fewer or smaller pictures.`;
}

async function reason(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered with status ${response.status}.`; // a proxy's page, not the server's JSON
  }
}

/** The lines of a body as they come. */
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (true) {
    const { done, value } = await read(reader);
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    yield* parts;
  }
}

async function read(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The connection was lost before the end of the answer. Try again.");
  }
}
