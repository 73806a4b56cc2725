// @ts-check
// What people type and paste as a code. internal/code reads codes in the same way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { threeSyllables, twoSyllables } from '../static/code/words.js';
import { codeLink, codeText, completions, newWords, readCode, readCodeAddress } from '../static/code/text.js';

const origin = 'https://turn.example.org';
const code = { slot: 7, words: 'crossover-clockwork' };

test('case, spaces and dashes of all kinds do not matter', () => {
  for (const text of ['7-crossover-clockwork', ' 7 Crossover CLOCKWORK ', '7_crossover_clockwork', '7–crossover—clockwork', '7 -crossover - clockwork', '\t7\ncrossover clockwork', '007-crossover-clockwork']) {
    assert.deepEqual(readCode(text, origin), { code, isSure: true }, text);
  }
});

test('a link of this server is as good, and one of another server is refused', () => {
  for (const text of [`${origin}/c/7#crossover-clockwork`, ' https://TURN.example.org/c/7/#Crossover-Clockwork\n', 'http://turn.example.org/c/7#crossover%2Dclockwork']) {
    assert.deepEqual(readCode(text, origin), { code, isSure: true }, text);
  }
  for (const other of ['https://other.example.org', 'https://[', 'https://%']) {
    assert.match(JSON.stringify(readCode(`${other}/c/7#crossover-clockwork`, origin)), /another server/);
  }
});

test('near misses are asked about, and never taken unasked', () => {
  for (const text of ['7-crosover-clockwork', '7-crossover-clokcwork', '7-clockwork-crossover', '7-crosso-clockw', '7-crossovr-clockwrok']) {
    assert.deepEqual(readCode(text, origin), { code, isSure: false }, text);
  }
});

test('what is no code is answered with what to do', () => {
  for (const [text, problem] of /** @type {[string, RegExp][]} */ ([
    ['', /looks like/], ['crossover-clockwork', /begins with a number/], ['7', /two words/], ['7-crossover', /two words/], ['7-crossover-clockwork-more', /two words/],
    ['0-crossover-clockwork', /number/], ['1000000-crossover-clockwork', /number/], ['7-xxxxxxxx-clockwork', /first word/], ['7-crossover-xxxxxxxx', /second word/],
    ['7-xxxxxxxx-yyyyyyyy', /these words/], [`7-${'x'.repeat(300)}`, /too long/], ['7-toString-__proto__', /words/],
  ])) {
    const reading = readCode(text, origin);
    assert.ok('problem' in reading && problem.test(reading.problem), `${text}: ${JSON.stringify(reading)}`);
  }
});

test('the words are in the fragment of a link, where browsers send them to nobody', () => {
  const link = new URL(codeLink(code, origin));
  assert.deepEqual([link.pathname, link.search, link.hash], ['/c/7', '', '#crossover-clockwork']);
  assert.deepEqual(readCodeAddress(link), { slot: '7', reading: { code, isSure: true } });
  assert.deepEqual(readCodeAddress({ pathname: '/c/7/', hash: '' }), { slot: '7', reading: undefined });
  assert.deepEqual(readCodeAddress({ pathname: '/C/7', hash: '#crossover%20clokwork' }), { slot: '7', reading: { code, isSure: false } });
  assert.deepEqual(readCodeAddress({ pathname: '/c/', hash: '#crossover-clockwork' }), { slot: '', reading: undefined });
  assert.equal(readCodeAddress({ pathname: '/c/7', hash: '#%' }).slot, '7');
});

test('words complete', () => {
  assert.deepEqual(completions('7-crosso'), ['7-crossover']);
  assert.deepEqual(completions('7 crossover clockw'), ['7-crossover-clockwork']);
  assert.equal(completions('7-crossover-').length, 256);
  assert.equal(completions('7-').length, 256);
  for (const text of ['', '7', 'x-cro', '7-nothing-cl', '7-crossover-clockwork-', '7-xyzzy']) assert.deepEqual(completions(text), [], text);
  assert.ok(completions('7-cl').every((one) => one.startsWith('7-cl')));
});

test('new words are of the two lists, and any of them', () => {
  const [firsts, seconds] = [new Set(), new Set()];
  for (let i = 0; i < 5000; i++) {
    const [first = '', second = ''] = newWords().split('-');
    assert.ok(threeSyllables.includes(first) && twoSyllables.includes(second));
    firsts.add(first);
    seconds.add(second);
  }
  assert.deepEqual([firsts.size, seconds.size], [256, 256]);
  assert.equal(codeText(code), '7-crossover-clockwork');
});
