// SPDX-License-Identifier: Apache-2.0
// Making and changing elements. Text from the server is only ever set as text.

export function $(id) {
  return document.getElementById(id);
}

/** Return a new element with properties and children; `style` is an object. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  const { style, ...others } = properties;
  Object.assign(element, others);
  Object.assign(element.style, style);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Set the text where it differs, so that nothing is laid out anew for nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
