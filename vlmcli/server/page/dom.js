/** Making elements. Text only ever becomes text nodes, so that nothing a model writes can become markup. */

/**
 * An element with properties and children.
 * @param {string} tag
 * @param {Object<string, unknown>} properties of the element; names with a hyphen, and "role", are attributes.
 * @param {...(Node | string)} children
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** The element of index.html with an id. */
export function byId(id) {
  return document.getElementById(id);
}

/** A count with its noun: "1 token", "2 tokens". */
export function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
