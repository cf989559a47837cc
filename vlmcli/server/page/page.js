/**
 * The page as a whole: who may do what when.
 *
 *     server.js     requests, and errors in words
 *     pictures.js   pictures that were chosen, dropped or pasted
 *     turns.js      a question and its answer, as they are shown
 *     places.js     boxes over a picture
 *     dom.js        elements
 */

import { byId, counted } from "./dom.js";
import { Tray } from "./pictures.js";
import { withPlaces } from "./places.js";
import * as server from "./server.js";
import { Turn } from "./turns.js";

const [askForm, keyForm, question, find, model] = ["ask-form", "key-form", "question", "find", "model"].map(byId);
const tray = new Tray();

/** All models that are served. */
let models = [];
/** The conversation: questions with their pictures, and answers. */
let turns = [];
/** Stops the answer that is under way; null where there is none. */
let stopper = null;

// --- what is served ---

async function begin() {
  say("");
  try {
    models = await server.models();
  } catch (error) {
    failed(error);
    return;
  }
  keyForm.hidden = true;
  askForm.hidden = false;
  model.replaceChildren(...models.map((one) => new Option(one.id, one.id)));
  byId("model-row").hidden = models.length < 2;
  chosen();
  question.focus();
}

/** Show what can be done with the model that is chosen. */
function chosen() {
  const { id, vlm } = models.find((one) => one.id === model.value);
  const notice = vlm.notice ? ` Note: ${vlm.notice}.` : "";
  byId("about").textContent = `Ask ${id} about pictures.${notice}`;
  find.disabled = !vlm.boxes;
  find.checked &&= !find.disabled;
  byId("find-hint").textContent = find.disabled ? "This model cannot draw boxes." : "";
  byId("question-label").textContent = find.checked ? "What to find" : "Question";
  byId("ask").textContent = find.checked ? "Find" : "Ask";
  question.placeholder = find.checked ? "each person" : "";
}

// --- asking ---

async function submitted() {
  if (stopper) return;
  const text = question.value.trim();
  if (!text) {
    refuse(find.checked ? "Say what to find." : "Write a question.", question);
  } else if (!find.checked) {
    await work(() => ask(text, tray.take())); // without a picture, the question is about those before
  } else if (!toLookAt().length) {
    refuse("Choose a picture.", byId("files"));
  } else {
    await work(() => findThings(text, toLookAt()));
  }
}

/** The pictures in which something is to be found. Those in the tray stay there, so that more can be found in them. */
function toLookAt() {
  if (tray.pictures.length) return [...tray.pictures];
  return turns.findLast((turn) => turn.pictures.length)?.pictures ?? [];
}

function refuse(reason, field) {
  say(reason);
  field.focus();
}

/** Let the model do something, which can be stopped. */
async function work(task) {
  say("");
  byId("status").textContent = "The model is working.";
  question.value = "";
  busy(new AbortController());
  await task();
  busy(null);
}

async function ask(text, pictures) {
  const turn = new Turn(text, pictures, model.value);
  let usage = null;
  let end = "stop";
  let note = "";
  try {
    const messages = await messagesOf([...turns, { question: text, pictures }]);
    for await (const chunk of server.answer(model.value, messages, stopper.signal)) {
      turn.write(chunk.choices[0]?.delta.content);
      end = chunk.choices[0]?.finish_reason ?? end;
      usage = chunk.usage ?? usage;
    }
    if (end === "length") note = "The answer is too long and was cut off.";
  } catch (error) {
    note = "Stopped.";
    if (error.name !== "AbortError") failed(error, [...turns, { pictures }]);
    if (error.name !== "AbortError" || !turn.text) {
      // As if it had not been asked: the question and its pictures can be changed and asked again.
      withdraw(turn, text);
      tray.put(pictures);
      byId("status").textContent = note;
      return;
    }
  }
  turns.push({ question: text, pictures, answer: turn.text });
  turn.finish(note, usage, turn.text);
  byId("status").textContent = `${turn.text} ${note}`;
}

async function findThings(what, pictures) {
  const turn = new Turn(`Find: ${what}`, [], model.value); // the answer shows the pictures
  const found = [];
  let looked;
  try {
    for (looked of pictures) {
      found.push(await server.places(model.value, await looked.uri(), what, stopper.signal));
    }
    turn.show(...pictures.map((picture, index) => withPlaces(picture, found[index])));
    turn.finish("", total(found.map((one) => one.usage)), JSON.stringify(found.map((one) => one.places)));
    const count = found.reduce((sum, one) => sum + one.places.length, 0);
    byId("status").textContent = `Found ${counted(count, "place")}.`;
  } catch (error) {
    withdraw(turn, what);
    if (error.name === "AbortError") byId("status").textContent = "Stopped.";
    else failed(error, [{ pictures: [looked] }]);
  }
}

/** The conversation as OpenAI's messages, with all pictures: the server keeps nothing, but knows those it has seen. */
async function messagesOf(conversation) {
  const messages = [];
  for (const turn of conversation) {
    const content = [];
    for (const picture of turn.pictures) {
      content.push({ type: "image_url", image_url: { url: await picture.uri() } });
    }
    messages.push({ role: "user", content: [...content, { type: "text", text: turn.question }] });
    if ("answer" in turn) messages.push({ role: "assistant", content: turn.answer });
  }
  return messages;
}

/** What several requests have used together. */
function total(usages) {
  const sum = (of) => usages.reduce((all, usage) => all + of(usage), 0);
  return {
    prompt_tokens: sum((usage) => usage.prompt_tokens),
    completion_tokens: sum((usage) => usage.completion_tokens),
    prompt_tokens_details: { cached_tokens: sum((usage) => usage.prompt_tokens_details.cached_tokens) },
  };
}

function withdraw(turn, text) {
  turn.remove();
  question.value ||= text; // unless the next one has been begun
}

// --- what can be pressed, and what is said ---

/** Begin or end an answer. */
function busy(controller) {
  const isStopFocused = document.activeElement === byId("stop");
  stopper = controller;
  byId("stop").hidden = !controller;
  // Not `disabled`: a button that has the focus would lose it.
  byId("ask").setAttribute("aria-disabled", String(Boolean(controller)));
  model.disabled = Boolean(controller);
  byId("restart").hidden = Boolean(controller) || !byId("turns").querySelector("article");
  if (isStopFocused) question.focus();
}

/** Tell what is wrong; a missing or wrong key is asked for. */
function failed(error, conversation = []) {
  if (error.status === 401) {
    say(server.hasKey() ? "The key is wrong." : "");
    askForm.hidden = true;
    keyForm.hidden = false;
    byId("key").focus();
    return;
  }
  const pictures = conversation.flatMap((turn) => turn.pictures);
  // The server knows pictures by their numbers, a person by their names.
  const number = error.message.match(/^picture (\d+): /)?.[1];
  const name = pictures[number - 1]?.name;
  say(name ? error.message.replace(`picture ${number}:`, () => `${name}:`) : sentence(error.message));
}

function say(text) {
  byId("error").textContent = text;
}

function sentence(text) {
  return text && text[0].toUpperCase() + text.slice(1);
}

model.addEventListener("change", chosen);
find.addEventListener("change", chosen);
askForm.addEventListener("submit", (event) => {
  event.preventDefault();
  submitted();
});
keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  server.useKey(byId("key").value);
  begin();
});
question.addEventListener("keydown", (event) => {
  // While letters are being composed (Japanese, Chinese), Enter only accepts them.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  askForm.requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stopper?.abort();
});
byId("stop").addEventListener("click", () => stopper?.abort());
byId("restart").addEventListener("click", () => {
  turns = [];
  byId("turns").querySelectorAll("article").forEach((article) => article.remove());
  busy(null);
  byId("status").textContent = "The conversation is empty.";
  question.focus();
});

begin();
