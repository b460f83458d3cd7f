/** Small helpers for elements. Text is only ever set as text, so that no label can be markup. */

export const byId = (id) => document.getElementById(id);

/** Make an element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Set an element's text, if it is another: what has not changed is not announced again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Keep one child for each item, in order; those that stay keep focus and hover.
 * A child is made by `create(item)` and brought up to date by `update(child, item)`.
 */
export function keep(parent, items, keyOf, create, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, place) => {
    const key = String(keyOf(item, place));
    const child = old.get(key) ?? create(item);
    old.delete(key);
    child.dataset.key = key;
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
    update(child, item);
  });
  for (const child of old.values()) child.remove();
}
