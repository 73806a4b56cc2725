// @ts-check
// Which key was meant, on keyboards of several scripts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyOf } from '../static/elements/room/keys.js';

/** @param {string} key @param {string} code @param {object} [more] */
function pressed(key, code, more) {
  return keyOf({ key, code, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, isComposing: false, ...more });
}

test('a key is the letter that is printed on it, or that is at its place if there is none of ours', () => {
  assert.equal(pressed('m', 'KeyM'), 'M');
  assert.equal(pressed('M', 'KeyM'), 'M', 'with caps lock');
  assert.equal(pressed('m', 'Semicolon'), 'M', 'a French keyboard has it there');
  assert.equal(pressed(',', 'KeyM'), ',', 'and the comma here');
  assert.equal(pressed('\u044c', 'KeyM'), 'M', 'Russian');
  assert.equal(pressed('\u05e6', 'KeyM'), 'M', 'Hebrew');
  assert.equal(pressed('\u0629', 'KeyM'), 'M', 'Arabic');
  assert.equal(pressed('\u03bc', 'KeyM'), 'M', 'Greek');
  assert.equal(pressed('\u00f6', 'Semicolon'), '\u00f6', 'no letter of ours is at that place');
  assert.equal(pressed(' ', 'Space'), ' ');
});

test('the question mark is that of any script', () => {
  assert.equal(pressed('?', 'Slash', { shiftKey: true }), '?');
  assert.equal(pressed('?', 'Minus', { shiftKey: true }), '?', 'German');
  assert.equal(pressed('\u061f', 'Slash', { shiftKey: true }), '?', 'Arabic');
  assert.equal(pressed('\uff1f', 'Slash', { shiftKey: true }), '?', 'Chinese');
});

test('keys of the browser, of the system and of input methods are theirs', () => {
  for (const held of ['ctrlKey', 'metaKey', 'altKey', 'shiftKey', 'isComposing']) assert.equal(pressed('m', 'KeyM', { [held]: true }), '', held);
  assert.equal(pressed('Process', 'KeyM'), 'Process');
  assert.equal(pressed('Dead', 'KeyM'), 'Dead');
});
