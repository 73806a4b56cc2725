// @ts-check
import { languageTag, say } from './language.js';

export { isolate } from './language.js';

/** @type {Promise<unknown>} resolves when the page has loaded. A video that waits for its first picture would delay that, maybe for ever. */
export const pageLoaded = document.readyState === 'complete' ? Promise.resolve() : new Promise((resolve) => addEventListener('load', resolve));

/** What has words of its language: a text, or an attribute for which `data-say-ATTRIBUTE` names the message. */
const SAYING = ['', ...['aria-label', 'placeholder', 'title', 'alt'].map((name) => `-${name}`)].map((end) => `[data-say${end}]`).join();

/**
 * Gives an element the content of a `<template>`, in the page's language.
 *
 * @param {Element} host
 * @param {string} id of the template
 */
export function fill(host, id) {
  // Chromium ignores dir="auto" of what cloneNode makes, until this document has had a dir attribute of its own.
  const content = document.importNode(find(document, `template#${id}`, HTMLTemplateElement).content, true);
  sayIn(content);
  host.replaceChildren(content);
}

/** Says in the page's language what stands in the page itself. The server has done so, but does not know what the user has chosen here. */
export function sayPage() {
  document.documentElement.lang = languageTag();
  sayIn(document);
}

/** @param {ParentNode} root */
function sayIn(root) {
  for (const element of root.querySelectorAll(SAYING)) {
    for (const { name, value } of [...element.attributes]) {
      if (name === 'data-say') sayText(element, say(value));
      else if (name.startsWith('data-say-')) element.setAttribute(name.slice('data-say-'.length), say(value));
    }
  }
}

/**
 * Writes a message into an element. Children with `data-slot="NAME"` come where the message has `{NAME}`.
 *
 * @param {Element} element
 * @param {string} message
 */
function sayText(element, message) {
  const slots = new Map([...element.children].map((child) => [child.getAttribute('data-slot'), child]));
  const parts = message.split(/\{(\w+)\}/);
  element.replaceChildren(...parts.map((part, place) => (place % 2 === 1 && slots.get(part)) || part));
}

/**
 * Finds an element that must be there, and checks its type.
 *
 * @template {Element} T
 * @param {ParentNode} host
 * @param {string} selector
 * @param {new () => T} type
 * @returns {T}
 */
export function find(host, selector, type) {
  const element = host.querySelector(selector);
  if (!(element instanceof type)) throw new Error(`no ${type.name} matches ${selector}`);
  return element;
}

/**
 * @param {ParentNode} host
 * @param {string} testid
 */
export function findButton(host, testid) {
  return find(host, `[data-testid=${testid}]`, HTMLButtonElement);
}

/**
 * Writes text into the element that matches.
 *
 * @param {ParentNode} host
 * @param {string} selector
 * @param {string} text
 */
export function write(host, selector, text) {
  find(host, selector, Element).textContent = text;
}

/**
 * Shows one of the drawings in icons.svg.
 *
 * @param {ParentNode} host of the `<svg>`
 * @param {string} name
 */
export function drawIcon(host, name) {
  const use = find(host, 'use', SVGUseElement);
  use.setAttribute('href', use.href.baseVal.replace(/#.*/, `#${name}`));
}

/**
 * Draws a round sign for a name: the initials of its first and last word on one of six colours.
 *
 * @param {ParentNode} host of the `.avatar`
 * @param {string} name
 */
export function drawAvatar(host, name) {
  const avatar = find(host, '.avatar', HTMLElement);
  const words = name.trim().split(/\s+/);
  avatar.textContent = [words[0], words.slice(1).at(-1)].map((word = '') => [...word][0] ?? '').join('').toUpperCase() || '?';
  const sum = [...name].reduce((sum, character) => sum + (character.codePointAt(0) ?? 0), 0);
  avatar.dataset.colour = String(sum % 6);
}

/**
 * Gives the focus of something that goes away to an element that can have it, or else to the page. Without that nothing would
 * have it, and a screen reader would begin at the top.
 *
 * @param {unknown} element
 */
export function giveFocus(element) {
  if (element instanceof HTMLElement && element.checkVisibility()) element.focus({ preventScroll: true });
  if (document.activeElement === document.body) find(document, 'main', HTMLElement).focus({ preventScroll: true });
}

/**
 * Does what a button is for, unless that is under way. A button that is really disabled would lose the focus.
 *
 * @param {HTMLButtonElement} button
 * @param {() => unknown} act
 * @param {Iterable<HTMLButtonElement>} [others] that must wait as well
 */
export async function press(button, act, others = []) {
  if (button.ariaDisabled === 'true') return;
  const all = [button, ...others];
  for (const each of all) each.ariaDisabled = 'true';
  try {
    await act();
  } finally {
    for (const each of all) each.ariaDisabled = 'false';
  }
}
