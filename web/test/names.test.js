// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_NAME, madeUpName, nameProblem, nextName } from '../static/names.js';

test('numbered names count up and stay short enough', () => {
  assert.equal(nextName('Ada'), 'Ada 2');
  assert.equal(nextName('Ada 2'), 'Ada 3');
  assert.equal(nextName('Ada 99'), 'Ada 100');
  assert.equal(nextName('R2'), 'R2 2');
  const long = nextName('👩'.repeat(MAX_NAME));
  assert.equal([...long].length, MAX_NAME);
  assert.ok(long.endsWith('👩 2'));
});

test('names that we make up are valid', () => {
  for (const value of [0, 0.5, 0.999]) assert.equal(nameProblem(madeUpName(() => value)), '');
  for (let times = 0; times < 100; times++) assert.match(madeUpName(), /^\p{Lu}\p{L}+ \p{Lu}\p{L}+$/u);
});

test('what is wrong with a name', () => {
  assert.equal(nameProblem('Ben Ó Conaill'), '');
  assert.equal(nameProblem('👩'.repeat(MAX_NAME)), '');
  assert.match(nameProblem(''), /write a name/);
  assert.match(nameProblem('x'.repeat(MAX_NAME + 1)), /33/);
  assert.match(nameProblem('a\u0007b'), /control/);
});
