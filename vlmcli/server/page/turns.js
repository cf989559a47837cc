/** A question and its answer, as the page shows them. */

import { byId, counted, element } from "./dom.js";

/** Milliseconds between two looks at the clock while an answer is awaited. */
const TICK = 1000;
/** Pixels from the end of the page within which a reader is taken to follow the answer. */
const NEAR = 120;

/** One turn of the conversation. It is on the page from when it is made until it is removed. */
export class Turn {
  constructor(question, pictures, model) {
    this._began = performance.now();
    this._first = 0;
    this._text = document.createTextNode("");
    this._waiting = element("p", { className: "waiting" }, "Working…");
    this._answer = element(
      "div",
      { className: "answer" },
      element("h2", { className: "unseen" }, `Answer of ${model}`),
      this._waiting,
    );
    const shown = pictures.map((picture) => element("li", {}, picture.shown()));
    this._article = element(
      "article",
      {},
      element(
        "div",
        { className: "question" },
        element("h2", { className: "unseen" }, "Question"),
        ...(shown.length ? [element("ul", { className: "pictures" }, ...shown)] : []),
        element("p", {}, question),
      ),
      this._answer,
    );
    byId("turns").append(this._article);
    toEnd();
    // A model may have to be loaded, and a picture may take a minute on a slow machine: show that it goes on.
    this._clock = setInterval(() => {
      this._waiting.textContent = `Working… ${Math.round(this._seconds())} s`;
    }, TICK);
  }

  /** Add to the answer's text. */
  write(text) {
    if (!text) return;
    const isFollowed = isAtEnd();
    if (!this._first) {
      this._first = this._seconds();
      this._begun(element("p", { className: "text writing" }, this._text));
    }
    this._text.appendData(text);
    if (isFollowed) toEnd();
  }

  /** The answer's text so far. */
  get text() {
    return this._text.data;
  }

  /** Show what was found instead of a text. */
  show(...figures) {
    this._begun(...figures);
    toEnd();
  }

  /**
   * End the answer: below it are what it took, and a button that copies it.
   * @param {string} note how it ended, where that was not in order; else empty.
   * @param {object?} usage of tokens, as OpenAI has it.
   * @param {string} copied by the button.
   */
  finish(note, usage, copied) {
    clearInterval(this._clock);
    this._answer.querySelector(".writing")?.classList.remove("writing");
    const copy = element("button", { type: "button", className: "small" }, "Copy");
    copy.addEventListener("click", async () => {
      byId("status").textContent = copy.textContent = (await toClipboard(copied)) ? "Copied" : "Copying is not possible";
      setTimeout(() => (copy.textContent = "Copy"), 2000);
    });
    const isFollowed = isAtEnd();
    const figures = [note, this._took(usage)].filter(Boolean).join(" ");
    this._answer.append(element("p", { className: "figures" }, copy, " ", figures));
    if (isFollowed) toEnd();
  }

  /** Take it off the page. */
  remove() {
    clearInterval(this._clock);
    this._article.remove();
  }

  _begun(...parts) {
    clearInterval(this._clock);
    this._waiting.remove();
    this._answer.append(...parts);
  }

  _seconds() {
    return (performance.now() - this._began) / 1000;
  }

  _took(usage) {
    const seconds = this._seconds().toFixed(1);
    if (!usage) return `${seconds} s.`;
    const first = this._first ? `, the first after ${this._first.toFixed(1)} s` : "";
    const known = usage.prompt_tokens_details.cached_tokens;
    const read = `Read ${counted(usage.prompt_tokens, "token")}${known ? `, of which ${known} were known` : ""}.`;
    return `Wrote ${counted(usage.completion_tokens, "token")} in ${seconds} s${first}. ${read}`;
  }
}

function isAtEnd() {
  const page = document.documentElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < NEAR;
}

/** Show the end of the conversation, which is above the form. */
function toEnd() {
  scrollTo({ top: document.documentElement.scrollHeight });
}

/** Copy a text. Returns whether that was possible. */
async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Browsers have no navigator.clipboard where the page comes over plain HTTP from another machine.
    const area = element("textarea", { value: text, className: "unseen", "aria-hidden": "true" });
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    focused?.focus();
    return isCopied;
  }
}
