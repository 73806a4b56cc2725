// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reasonOf, sayingFor } from '../static/code/sayings.js';
import { CodeError } from '../static/code/receiver.js';
import { RefusedError } from '../static/files/lines.js';
import { TurnpikeError } from '../static/sdk/error.js';

test('what the other side’s program means is said in our language, and what only it knows in its own', () => {
  assert.equal(reasonOf(new RefusedError('es wurde angehalten', 'stopped')), 'They have stopped it.');
  assert.equal(reasonOf(new RefusedError('no space left on device', 'disk-full')), 'There is no room left on their disk.');
  assert.equal(reasonOf(new RefusedError('the folder is gone')), 'The folder is gone.');
  assert.equal(reasonOf(new RefusedError('the folder is gone', 'constructor')), 'The folder is gone.');
});

test('errors are said in words for people', () => {
  assert.equal(sayingFor(new CodeError('no-sender')).title, 'The sender does not answer');
  assert.equal(sayingFor(new DOMException('', 'QuotaExceededError')).title, 'There is no space left');
  assert.equal(sayingFor(new TurnpikeError('name-taken', 'x')).title, 'That name is taken');
  assert.equal(sayingFor(new Error('a secret of the program')).title, 'Something went wrong');
  assert.doesNotMatch(sayingFor(new Error('a secret of the program')).text, /secret/);
});
