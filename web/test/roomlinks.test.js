// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inviteOf, isRoomId, readAddress, readRoom, roomLink, roomOf } from '../static/roomlinks.js';

const here = 'https://turn.example.org';
const standup = { id: 'standup', invite: undefined };
/** Like an invite of ours: the signature has 43 characters. */
const invite = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb29tIjoic3RhbmR1cCIsInJvbGUiOiJndWVzdCJ9.0a-B_cdefghijklmnopqrstuvwxyz0123456789AB-8';
const link = roomLink('standup', here, invite);
const invited = { id: 'standup', invite };

test('a room is found by its id or its link', () => {
  assert.equal(link, `${here}/r/standup#invite=${invite}`);
  assert.deepEqual(readRoom(' StandUp ', here), standup);
  assert.deepEqual(readRoom('k7m 2pq x9r', here), { id: 'k7m-2pq-x9r', invite: undefined });
  assert.deepEqual(readRoom(`${here}/r/Standup`, here), standup);
  assert.deepEqual(readRoom(`${here}/r/standup#invite=abc.def`, here), { id: 'standup', invite: 'abc.def' });
  assert.deepEqual(readRoom(link, here), invited);
  for (const text of [
    '', '-', 'a_b', 'x'.repeat(65), 'https://elsewhere.example/r/standup', `https://elsewhere.example/r/standup#invite=${invite}`,
    'https://turn.example.org.evil.example/r/standup', 'https://evil-turn.example.org/r/standup', 'https://turn.example.org:8443/r/standup',
    'https://turn.example.org@evil.example/r/standup', 'https://you@turn.example.org/r/standup',
    `${here}/r/`, `${here}/r/%zz`, `${here}/r/a_b`, `${here}/r/m%C3%BCller`, `${here}/r/a/b`, `${here}/join/standup`, `https:///r/standup`,
  ]) {
    assert.equal(readRoom(text, here), undefined, text);
  }
});

test('other forms of our own address lead here', () => {
  assert.deepEqual(readRoom('http://localhost:8080/r/standup', 'http://localhost:8080'), standup);
  assert.deepEqual(readRoom('localhost:8080/r/standup', 'http://localhost:8080'), standup);
  assert.equal(readRoom('localhost/r/standup', 'http://localhost:8080'), undefined);
  assert.deepEqual(readRoom('https://[2001:db8::1]:8443/r/standup', 'https://[2001:db8::1]:8443'), standup);
  assert.deepEqual(readRoom('https://bücher.example/r/standup', 'https://xn--bcher-kva.example'), standup);
  assert.deepEqual(readRoom('turn.example.org:443/r/standup', here), standup);
  assert.deepEqual(readRoom('http://turn.example.org/r/standup', here), standup);
});

const encoded = encodeURIComponent(link);
/** What programs and people do to a link with an invite. @type {[what: string, mangle: (link: string) => string][]} */
const mangles = [
  ['as it is', (link) => link],
  ['spaces around it', (link) => `  ${link}\n`],
  ['a full stop', (link) => `${link}.`],
  ['an ellipsis', (link) => `${link}...`],
  ['a comma and more words', (link) => `${link}, see you there`],
  ['exclamation and question marks', (link) => `${link}?!`],
  ['round brackets', (link) => `(${link})`],
  ['angle brackets', (link) => `<${link}>`],
  ['angle brackets and URL:', (link) => `<URL:${link}>`],
  ['square brackets', (link) => `[${link}]`],
  ['curly brackets', (link) => `{${link}}`],
  ['Markdown', (link) => `[the room](${link})`],
  ['Markdown with itself as its text', (link) => `[${link}](${link})`],
  ['wiki markup', (link) => `[${link} the room]`],
  ['Slack', (link) => `<${link}|the room>`],
  ['HTML', (link) => `<a href="${link}">the room</a>`],
  ['HTML with itself as its text', (link) => `<a href='${link}'>${link}</a>`],
  ['quotes', (link) => `"${link}"`],
  ['typographic quotes', (link) => `“${link}”`],
  ['low quotes', (link) => `„${link}“`],
  ['guillemets', (link) => `« ${link} »`],
  ['guillemets inwards', (link) => `»${link}«`],
  ['apostrophes', (link) => `'${link}'`],
  ['backticks', (link) => `\`${link}\``],
  ['a code block', (link) => `\`\`\`\n${link}\n\`\`\``],
  ['bold', (link) => `*${link}*`],
  ['bold in Markdown', (link) => `**${link}**`],
  ['slanted', (link) => `_${link}_`],
  ['struck out', (link) => `~${link}~`],
  ['words around it', (link) => `Hi, please come to ${link} at ten`],
  ['words before it, with a colon', (link) => `Link:${link}`],
  ['Chinese around it, without spaces', (link) => `会议链接：${link}，十点开始`],
  ['Chinese words after it', (link) => `${link}十点`],
  ['Japanese brackets', (link) => `「${link}」`],
  ['a message in several lines', (link) => `Standup\n\nWhen: ten\nWhere: ${link}\n\nBring coffee.`],
  ['a quoted mail', (link) => `> Where: ${link}\n> Bring coffee`],
  ['another link after it', (link) => `${link} or https://elsewhere.example/r/other#invite=a.b.c`],
  ['another link before it', (link) => `https://elsewhere.example/r/other or ${link}`],
  ['a line break in the invite', (link) => `${link.slice(0, 70)}\n${link.slice(70)}`],
  ['a line break in the room', (link) => `${link.slice(0, 30)}\n${link.slice(30)}`],
  ['several Windows line breaks', (link) => link.replace(/.{30}/g, '$&\r\n')],
  ['line breaks and indents', (link) => link.replace(/.{40}/g, '$&\n    ')],
  ['line breaks of a quoted mail', (link) => link.replace(/.{40}/g, '$&\n> ')],
  ['soft line breaks of a mail', (link) => link.replace('=', '=3D').replace(/.{60}/g, '$&=\r\n')],
  ['spaces within', (link) => `${link.slice(0, 90)} ${link.slice(90)}`],
  ['a tab within', (link) => `${link.slice(0, 90)}\t${link.slice(90)}`],
  ['no scheme', (link) => link.replace('https://', '')],
  ['no scheme, but its slashes', (link) => link.replace('https:', '')],
  ['no scheme and a bracket', (link) => `(${link.replace('https://', '')})`],
  ['no host', (link) => link.replace(here, '')],
  ['no host and no slash', (link) => link.replace(`${here}/`, '')],
  ['http', (link) => link.replace('https', 'http')],
  ['a scheme in capitals', (link) => link.replace('https', 'HTTPS')],
  ['a capital at the start', (link) => link.replace('h', 'H')],
  ['host and room in capitals', (link) => link.replace(/^[^#]*/, (start) => start.toUpperCase())],
  ['all before the invite in capitals', (link) => link.replace(/^[^=]*/, (start) => start.toUpperCase())],
  ['the port that goes without saying', (link) => link.replace('.org', '.org:443')],
  ['two slashes', (link) => link.replace('/r/', '//r//')],
  ['a slash after the room', (link) => link.replace('#', '/#')],
  ['the fragment encoded', (link) => link.replace('#', '%23')],
  ['the fragment and its sign encoded', (link) => link.replace('#', '%23').replace('=', '%3D')],
  ['the fragment encoded twice', (link) => link.replace('#', '%2523').replace('=', '%253D')],
  ['the sign encoded', (link) => link.replace('=', '%3D')],
  ['the sign encoded in lower case', (link) => link.replace('=', '%3d')],
  ['the fragment as a query', (link) => link.replace('#', '?')],
  ['the fragment after an ampersand', (link) => link.replace('#', '&')],
  ['a tracker before the fragment', (link) => link.replace('#', '?utm_source=chat&fbclid=IwAR0#')],
  ['a tracker in the fragment', (link) => link.replace('#', '#utm_source=chat&')],
  ['a tracker in the fragment, as HTML', (link) => link.replace('#', '#utm_source=chat&amp;')],
  ['a tracker behind', (link) => `${link}&utm_source=chat`],
  ['a text fragment behind', (link) => `${link}:~:text=turnpike`],
  ['amp; in front', (link) => link.replace('#', '#amp;')],
  ['&amp; in the place of #', (link) => link.replace('#', '&amp;')],
  ['&amp; encoded as HTML twice', (link) => link.replace('#', '#a=1&amp;amp;')],
  ['HTML entities', (link) => link.replace('#', '&#35;').replace('=', '&#x3D;')],
  ['the slashes encoded', (link) => link.replaceAll('/', '%2F')],
  ['encoded whole', () => encoded],
  ['encoded whole, in lower case', () => encoded.replace(/%../g, (code) => code.toLowerCase())],
  ['encoded twice', () => encodeURIComponent(encoded)],
  ['encoded three times', () => encodeURIComponent(encodeURIComponent(encoded))],
  ['wrapped by a mail filter', () => `https://eur01.safelinks.example/?url=${encoded}&data=05%7C02&reserved=0`],
  ['wrapped by a search engine', (link) => `https://search.example/url?q=${link}&sa=D`],
  ['zero-width spaces', (link) => link.replace(/.{20}/g, '$&\u200b')],
  ['soft hyphens', (link) => link.replace('turn', 'tu\u00adrn')],
  ['marks of direction', (link) => `\u200e${link}\u200f`],
  ['isolates of direction', (link) => `\u2068${link}\u2069`],
  ['a byte order mark', (link) => `\ufeff${link}`],
  ['zero-width spaces, encoded', (link) => `${link}%E2%80%8B`],
  ['no-break spaces', (link) => `\u00a0${link}\u00a0`],
];

test('a mangled link leads where it was meant to', () => {
  for (const [what, mangle] of mangles) {
    assert.deepEqual(readRoom(mangle(link), here), invited, `${what}: ${mangle(link)}`);
  }
});

test('two of these at once do, too', () => {
  const outer = mangles.filter(([what]) => /bracket|quotes|bold|slanted|words around|spaces around|stop|Slack|HTML$|Markdown$|direction/.test(what));
  const inner = mangles.filter(([what]) => /line break|encoded|amp;|tracker|scheme|capitals|slash/.test(what) && !what.startsWith('no host'));
  assert.ok(outer.length > 10 && inner.length > 15);
  for (const [how, wrap] of outer) {
    for (const [what, mangle] of inner) {
      const text = wrap(mangle(link));
      assert.deepEqual(readRoom(text, here), invited, `${what}, then ${how}: ${text}`);
    }
  }
});

test('a link without an invite bears the same', () => {
  const plain = roomLink('standup', here);
  for (const [what, mangle] of mangles) {
    // The other mangles are of the invite, or write the link with it.
    if (/invite|fragment|encoded|amp|tracker|sign|wrapped|break|within|entities|words after/.test(what)) continue;
    assert.deepEqual(readRoom(mangle(plain), here), standup, `${what}: ${mangle(plain)}`);
  }
  for (const text of ['standup.', '“standup”', '(standup)', '#standup', '/r/standup', 'r/standup', '/R/STANDUP/', 'standup\u200b', `${here}/r/standup十点`]) {
    assert.deepEqual(readRoom(text, here), standup, text);
  }
});

test('an address that was mangled before the browser opened it leads to its room', () => {
  /** @type {[address: string, expected: { id: string, invite: string | undefined }][]} */
  const addresses = [
    ['/r/standup', standup],
    ['/r/K7M', { id: 'k7m', invite: undefined }],
    ['/r/standup.', standup],
    ['/r/standup)', standup],
    ['/r/standup%3E', standup],
    ['/r/standup/', standup],
    ['/R/STANDUP', standup],
    ['/r/standup%20', standup],
    ['/r/standup%E2%80%8B', standup],
    ['/r/standup%EF%BC%8C%E5%BF%AB%E6%9D%A5', standup],
    ['/r/%73tandup', standup],
    [`/r/standup#invite=${invite}`, invited],
    [`/r/standup#invite=${invite}.`, invited],
    [`/r/standup#invite=${invite}_`, invited],
    [`/r/standup#invite=${invite})`, invited],
    [`/r/standup#amp;invite=${invite}`, invited],
    [`/r/standup#invite%3D${invite}`, invited],
    [`/r/standup%23invite=${invite}`, invited],
    [`/r/standup%23invite%3D${invite}`, invited],
    [`/r/standup%2523invite%253D${invite}`, invited],
    [`/r/standup&amp;invite=${invite}`, invited],
    [`/r/standup?invite=${invite}`, invited],
    [`/r/standup?fbclid=IwAR0#invite=${invite}`, invited],
    [`/r/standup?utm_source=chat&amp;invite=${invite}`, invited],
    ['/', { id: '', invite: undefined }],
    ['/?invite=a.b.c', { id: '', invite: undefined }],
    ['/#main', { id: '', invite: undefined }],
    [`/#invite=${invite}`, { id: '', invite }],
    ['/r/%E0%A4%A', { id: '', invite: undefined }],
    ['/r/a_b', { id: '', invite: undefined }],
  ];
  for (const [address, expected] of addresses) assert.deepEqual(readAddress(new URL(address, here)), expected, address);
});

test('malformed addresses are harmless', () => {
  assert.equal(roomOf('/r/K7M'), 'k7m');
  assert.equal(roomOf('/r/%E0%A4%A'), '');
  assert.equal(roomOf('/'), '');
  assert.equal(inviteOf('#invite=a.b-c_d'), 'a.b-c_d');
  assert.equal(inviteOf('#main'), undefined);
  assert.equal(inviteOf('#invite='), undefined);
  assert.equal(inviteOf('#reinvite=a.b.c'), undefined);
  assert.equal(inviteOf(''), undefined);
});

/** The same numbers each time. @param {number} seed */
function random(seed) {
  return () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
}

test('whatever is pasted, an answer is a room, and long texts take no long time', () => {
  const next = random(7);
  const pieces = ['https://', here, '/r/', 'standup', '#invite=', invite, '%', '%25', '%2F', ' ', '\n', '&amp;', '_', '-', '.', '/', '会', '@', '[', ')', '\u200b', '=\r\n', 'x'.repeat(80)];
  for (let round = 0; round < 5000; round++) {
    const text = Array.from({ length: 1 + Math.floor(next() * 9) }, () => pieces[Math.floor(next() * pieces.length)]).join('');
    const found = readRoom(text, here);
    if (!found) continue;
    assert.ok(isRoomId(found.id), text);
    assert.ok(found.invite === undefined || /^[\w-]+(\.+[\w-]+)*$/.test(found.invite), text);
  }
  const began = performance.now();
  for (const piece of ['/r/', 'r/-', 'invite=', '&amp;', '%25', 'a-', '://', '_/', '] ', '=\n']) readRoom(piece.repeat(100_000), here);
  assert.ok(performance.now() - began < 5000, 'pasting must not hang the page');
});
