// @ts-check
// Which parts of a message are links, and what people see of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withLinks } from '../static/elements/chat/links.js';

/** The links in a text: where they lead, and what is shown, if that is something else. @param {string} text */
function linksIn(text) {
  return withLinks(text).flatMap((part) => (typeof part === 'string' ? [] : part.href === part.text ? part.text : `${part.href} as ${part.text}`));
}

/** @param {string} text */
function shown(text) {
  return withLinks(text).map((part) => (typeof part === 'string' ? part : part.text)).join('');
}

/** @type {[text: string, ...links: string[]][]} */
const table = [
  ['no link at all'],
  [''],
  ['https://example.org/', 'https://example.org/'],
  ['http://example.org/a?b=c#d', 'http://example.org/a?b=c#d'],
  ['https://example.org', 'https://example.org/ as https://example.org'],
  ['HTTPS://Example.ORG/Path', 'https://example.org/Path as HTTPS://Example.ORG/Path'],
  ['http://localhost:8080/r/k7m-2pq-x9r', 'http://localhost:8080/r/k7m-2pq-x9r'],
  ['http://[2001:db8::1]:8080/', 'http://[2001:db8::1]:8080/'],
  ['two: https://a.example/ and\nhttps://b.example/', 'https://a.example/', 'https://b.example/'],
  // As people write.
  ['See https://example.org/.', 'https://example.org/'],
  ['See https://example.org/, or not', 'https://example.org/'],
  ['Is it https://example.org/a?', 'https://example.org/a'],
  ['Wow https://example.org/a!!!', 'https://example.org/a'],
  ['(see https://example.org/a)', 'https://example.org/a'],
  ['[https://example.org/a]', 'https://example.org/a'],
  ['<https://example.org/a>', 'https://example.org/a'],
  ['"https://example.org/a"', 'https://example.org/a'],
  ['\u201chttps://example.org/a\u201d', 'https://example.org/a'],
  ["'https://example.org/a'", 'https://example.org/a'],
  ['*https://example.org/a*', 'https://example.org/a'],
  ['https://en.wikipedia.org/wiki/Gate_(road)', 'https://en.wikipedia.org/wiki/Gate_(road)'],
  ['(https://en.wikipedia.org/wiki/Gate_(road))', 'https://en.wikipedia.org/wiki/Gate_(road)'],
  ['(https://en.wikipedia.org/wiki/Gate_(road)).', 'https://en.wikipedia.org/wiki/Gate_(road)'],
  ['https://example.org/a_b-c~d/', 'https://example.org/a_b-c~d/'],
  ['https://web.archive.org/web/2020/https://example.org/', 'https://web.archive.org/web/2020/https://example.org/'],
  ['\u6253\u5f00https://example.org/a\uff0c\u7136\u540e', 'https://example.org/a'],
  ['\u6253\u5f00https://example.org/a\u3002', 'https://example.org/a'],
  ['\uff08https://example.org/a\uff09', 'https://example.org/a'],
  ['\u6253\u5f00https://example.org\u770b\u770b', 'https://example.org/ as https://example.org'],
  ['https://example.org\uc5d0\uc11c', 'https://example.org/ as https://example.org'],
  // Nothing but http and https, written in full.
  ['javascript:alert(1)'], ['JaVaScRiPt:alert(1)'], ['data:text/html,<script>alert(1)</script>'], ['vbscript:x'], ['file:///etc/passwd'],
  ['ftp://example.org/'], ['mailto:ann@example.org'], ['blob:https'], ['www.example.org'], ['example.org'], ['//example.org/'],
  ['https://'], ['https:// example.org'], ['https:///example.org/'], ['http:/example.org'], ['https://?'], ['https://.'], ['https://...'], ['xhttps://example.org/'],
  ['https://example.org:99999/'],
  // What would lead elsewhere than it says.
  ['https://bank.example@evil.example/'], ['https://bank.example:secret@evil.example/'], ['https://@evil.example/'],
  ['https://bank.example\\@evil.example/', 'https://bank.example/ as https://bank.example'],
  ['https://bank.example\u202e/gro.live', 'https://bank.example/ as https://bank.example'],
  ['https://bank.example\u200b.evil.example/', 'https://bank.example/ as https://bank.example'],
  ['https://bank.example\u2066/a', 'https://bank.example/ as https://bank.example'],
  ['https://bank.example\u0000.evil.example/', 'https://bank.example/ as https://bank.example'],
  ['https://2130706433/', 'https://127.0.0.1/'],
  ['https://0x7f.1/', 'https://127.0.0.1/'],
  ['https://ex%61mple.org/', 'https://example.org/'],
  ['https://\uff45xample.org/', 'https://example.org/'],
  // Hosts in other letters than ours: as they are if nobody can take them for others, else in punycode.
  ['https://m\u00fcnchen.example/', 'https://xn--mnchen-3ya.example/ as https://m\u00fcnchen.example/'],
  ['https://\u0442\u0435\u0441\u0442.\u0440\u0444/', 'https://xn--e1aybc.xn--p1ai/ as https://\u0442\u0435\u0441\u0442.\u0440\u0444/'],
  ['https://\u4f8b\u5b50.example/', 'https://xn--fsqu00a.example/ as https://\u4f8b\u5b50.example/'],
  ['https://ex\u0430mple.org/', 'https://xn--exmple-4nf.org/'], // a Cyrillic a
  ['https://\u0441\u043e\u0441\u043e.com/', 'https://xn--n1aahb.com/'], // all Cyrillic, beside a Latin end
  ['https://\u0430\u0440\u0440\u04cf\u0435.com/a', 'https://xn--80ak6aa92e.com/a'],
  ['https://p\u0131nk.example/', 'https://xn--pnk-jua.example/'], // an i without its dot
  ['https://bank.example\u2044login.evil.example/', 'https://bank.xn--examplelogin-xk0g.evil.example/'], // a fraction slash
  ['https://\u4f8b\ufe0f.example/', 'https://xn--fsq.example/'], // a sign that cannot be seen, which browsers leave out
  // From right to left: what follows the host would be shown before its end.
  ['https://a.\u05e7\u05d5\u05dd/', 'https://a.xn--9dbq2a/ as https://a.\u05e7\u05d5\u05dd/'],
  ['https://a.\u05e7\u05d5\u05dd/b', 'https://a.xn--9dbq2a/b as https://a.\u05e7\u05d5\u05dd/b'],
  ['https://a.\u05e7\u05d5\u05dd/\u05d9\u05e9', 'https://a.xn--9dbq2a/%D7%99%D7%A9 as https://a.xn--9dbq2a/\u05d9\u05e9'],
  ['https://a.\u05e7\u05d5\u05dd:8080/', 'https://a.xn--9dbq2a:8080/'],
  ['https://bank.com\u30ceevil.example/', 'https://bank.xn--comevil-v04f.example/'], // a Japanese letter that looks like a slash
];

test('web addresses become links, as people write them, and nothing else does', () => {
  assert.deepEqual(table.map(([text]) => [text, ...linksIn(text)]), table);
});

test('what is shown is the text, but for hosts that are not what they look like', () => {
  for (const [text] of table) {
    if (!/xn--|2130706433|0x7f|%61|\uff45|[\u0131\u0430\u2044\u30ce\ufe0f\u05d9]|\u05dd:|\u0441\u043e/.test(text)) assert.equal(shown(text), text);
  }
  assert.equal(shown('a https://ex\u0430mple.org:8080/b?c (d)'), 'a https://xn--exmple-4nf.org:8080/b?c (d)');
});

test('links are found in time that grows with the text alone', () => {
  const hostile = ['https://', 'https://a.', '(', 'https://(', 'https://a:1', ')', 'https://a)', 'http', '\u6253', 'https://\u6253', 'https://xn--', ':', 'https://a:', '.', 'https://e.org/)', '\ud83d\ude00\u200d'];
  for (const piece of hostile) {
    for (const lead of ['', 'https://', 'https://example.org/', 'https://a:']) {
      const text = lead + piece.repeat(200_000 / piece.length);
      const before = process.cpuUsage().user;
      withLinks(text);
      const ms = (process.cpuUsage().user - before) / 1000;
      assert.ok(ms < 2000, `${JSON.stringify(lead + piece)}: ${ms} ms of the processor`); // Work by its square would take minutes.
    }
  }
});
