// @ts-check
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { preferred } from '../static/language.js';
import { asIs, say, several } from '../static/words/page.js';

const root = new URL('../static/', import.meta.url);
const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).map((file) => file.replaceAll('\\', '/')).filter((file) => !file.startsWith('vendor/'));
const LANGUAGES = /** @type {const} */ (['en', 'zh']);
/** Forms for numbers, in all our languages. */
const FORMS = ['one', 'other'];

/** @param {string} language @returns {Promise<Map<string, Record<string, string>>>} its tables by name */
async function tablesOf(language) {
  const names = files.filter((file) => file.startsWith(`words/${language}/`));
  return new Map(await Promise.all(names.map(async (name) => /** @type {const} */ ([name.slice(`words/${language}/`.length), (await import(new URL(name, root).href)).default]))));
}

const tables = { en: await tablesOf('en'), zh: await tablesOf('zh') };
/** @type {Record<string, Record<string, string>>} */
const messages = Object.fromEntries(LANGUAGES.map((language) => [language, Object.assign({}, ...tables[language].values())]));

/** @param {string} key @returns {string} without the form for a number, if it has one */
function stem(key) {
  return key.replace(new RegExp(`\\.(${FORMS.join('|')})$`), '');
}

/** @param {string} message */
function places(message) {
  return [...message.matchAll(/\{(\w+)\}/g)].map((match) => match[1]).sort();
}

/** @param {string} file the code without its comments, in which words may stand */
function code(file) {
  return readFileSync(new URL(file, root), 'utf8').replace(/<!--[^]*?-->|\/\*[^]*?\*\/|(^|\s)\/\/ .*$/gm, '');
}

test('both languages have the same tables with the same messages', () => {
  assert.deepEqual([...tables.zh.keys()].sort(), [...tables.en.keys()].sort());
  for (const [name, english] of tables.en) {
    const stems = (/** @type {Record<string, string>} */ table) => [...new Set(Object.keys(table).map(stem))].sort();
    assert.deepEqual(stems(tables.zh.get(name) ?? {}), stems(english), name);
  }
});

test('no message stands in two tables', () => {
  const joined = new Set(['room.js']); // of the tables of its areas
  for (const language of LANGUAGES) {
    /** @type {Map<string, string>} */
    const seen = new Map();
    for (const [name, table] of tables[language]) {
      for (const key of joined.has(name) ? [] : Object.keys(table)) {
        assert.equal(seen.get(key), undefined, `${key} of ${name}`);
        seen.set(key, name);
      }
    }
  }
});

test('the forms for numbers are those of the language', () => {
  for (const language of LANGUAGES) {
    const { pluralCategories } = new Intl.PluralRules(language).resolvedOptions();
    const stems = new Set(Object.keys(messages[language] ?? {}).filter((key) => stem(key) !== key).map(stem));
    for (const one of stems) {
      const forms = Object.keys(messages[language] ?? {}).filter((key) => stem(key) === one).map((key) => key.slice(one.length + 1));
      assert.deepEqual(forms.sort(), [...pluralCategories].sort(), `${language}: ${one}`);
    }
  }
});

test('both languages have the same places in a message', () => {
  for (const [key, message] of Object.entries(messages.zh ?? {})) {
    const english = messages.en?.[key] ?? messages.en?.[`${stem(key)}.other`] ?? '';
    assert.deepEqual(places(message), places(english), key);
  }
  for (const [key, message] of Object.entries(messages.en ?? {})) {
    const chinese = messages.zh?.[key] ?? messages.zh?.[`${stem(key)}.other`] ?? '';
    for (const place of places(message)) assert.ok(places(chinese).includes(place), key); // "one person" may do without the number
  }
});

test('each message is a line that the server can read, too', () => {
  for (const language of LANGUAGES) {
    for (const [name, table] of tables[language]) {
      const read = new Map([...readFileSync(new URL(`words/${language}/${name}`, root), 'utf8').matchAll(/^  '([^']+)': '([^'\\]*)',$/gm)].map(([, key = '', text = '']) => [key, text]));
      const own = name === 'room.js' ? Object.fromEntries(Object.entries(table).filter(([key]) => read.has(key))) : table;
      assert.deepEqual(Object.fromEntries(read), own, `${language}/${name}`);
    }
  }
});

test('no module or template asks for a message that is not there, and every message is asked for', () => {
  const keys = new Set(Object.keys(messages.en ?? {}).map(stem));
  /** @type {Set<string>} */
  const used = new Set();
  for (const file of files.filter((name) => /\.(js|html|webmanifest)$/.test(name) && !/^(words|sdk)\//.test(name))) {
    const text = code(file);
    for (const [, key = ''] of text.matchAll(/\bdata-say(?:-[a-z-]+)?="([^"]*)"/g)) {
      assert.ok(keys.has(key), `${file}: data-say="${key}"`);
      used.add(key);
    }
    for (const [, key = ''] of text.matchAll(/(?<![#.\w])say\('([^']*)'/g)) assert.ok(keys.has(key), `${file}: say('${key}')`);
    for (const [, key = ''] of text.matchAll(/'([a-z][\w.-]*)'/g)) if (keys.has(key)) used.add(key);
    for (const [, pattern = ''] of text.matchAll(/(?<![#.\w])say\(`([^`]*)`/g)) {
      const form = new RegExp(`^${pattern.replaceAll('.', '\\.').replace(/\$\{[^}]*\}/g, '[\\w.-]+')}$`);
      const meant = [...keys].filter((key) => form.test(key));
      assert.ok(meant.length > 0, `${file}: say(\`${pattern}\`)`);
      for (const key of meant) used.add(key);
    }
  }
  assert.deepEqual([...keys].filter((key) => !used.has(key)), []);
});

test('every element in the middle of a message has its place there', () => {
  let found = 0;
  for (const file of files.filter((name) => name.endsWith('.html'))) {
    for (const [, , key = '', inner = ''] of code(file).matchAll(/<(\w+)[^>]*\sdata-say="([^"]*)"[^>]*>([^]*?)<\/\1>/g)) {
      const slots = [...inner.matchAll(/\sdata-slot="([^"]*)"/g)].map(([, slot = '']) => slot);
      assert.deepEqual(slots.sort(), places(messages.en?.[key] ?? messages.en?.[`${key}.other`] ?? ''), `${file}: ${key}`);
      found += slots.length;
    }
  }
  assert.ok(found > 3);
});

test('Chinese messages are Chinese, with Chinese signs', () => {
  for (const [key, message] of Object.entries(messages.zh ?? {})) {
    if (key === 'home.language' || /^[^\p{L}]*(\{\w+\}[^\p{L}]*)+$/u.test(message)) continue;
    assert.match(message, /\p{Script=Han}/u, key);
    assert.doesNotMatch(message, /\p{Script=Han}[,.?!:;]|[,?!;:]\p{Script=Han}/u, `${key} has signs of Latin script`);
    assert.doesNotMatch(message, /(\b[a-z]{2,}\b[ ,]+){3}/i, `${key} has an English sentence`);
  }
  for (const [key, message] of Object.entries(messages.en ?? {})) if (key !== 'home.language') assert.doesNotMatch(message, /\p{Script=Han}/u, key);
});

test('the language is the first that the browser wants and the page has', () => {
  /** @type {[wanted: string[], chosen: string][]} */
  const cases = [
    [['zh-CN', 'en'], 'zh'], [['zh'], 'zh'], [['zh-TW'], 'zh'], [['zh-Hans-CN'], 'zh'], [['ZH'], 'zh'], [['en-GB', 'zh'], 'en'], [['de', 'zh-CN', 'en'], 'zh'],
    [['fr', 'en', 'zh'], 'en'], [['de'], 'en'], [[], 'en'], [['zhx'], 'en'], [[''], 'en'],
  ];
  for (const [wanted, chosen] of cases) assert.equal(preferred(wanted), chosen, wanted.join());
});

test('values come into their places: names stand apart, numbers are written as in the language', () => {
  assert.equal(say('call.rings', { name: 'Ada' }), '\u2068Ada\u2069 is calling');
  assert.equal(say('call.rings', { name: asIs('Ada') }), 'Ada is calling');
  assert.equal(say('call.rings', { name: several(['Ada', 'Ben', 'Cem']) }), '\u2068Ada\u2069, \u2068Ben\u2069, and \u2068Cem\u2069 is calling');
  assert.equal(say('name.too-long', { most: 32, count: 1234 }), 'A name may have 32 characters; this one has 1,234.');
  assert.equal(say('call.rings', { name: '{name} $& \u2068' }), '\u2068{name} $& \u2068\u2069 is calling', 'what people write is no message');
  assert.equal(say('call.rings'), '{name} is calling');
  assert.equal(say('no.such'), 'no.such');
});

/** Places where people read no text: errors and warnings for programmers and for the other side's program, words that programs compare, selectors. */
const UNREAD = /\bconsole\.\w+\([^]*?\);|\b(?:new (?:\w*Error|DOMException|Refused)|super|refuse|stop)\([^;]*|\b(?:find|findButton|write)\((?:[^,()]|\([^()]*\))+, (['"`])[^]*?\1|\.(?:querySelector|querySelectorAll|closest|matches)\((['"`])[^]*?\2|\b(?:@\w+|import|from) .*$|=== '[^']*'|\bcase '[^']*'|\bclassName(?: =|:) (?:[^,;]*\? )?'[^']*'(?: : '[^']*')?|\bmatchMedia\('[^']*'\)/gm;
/** Single words that are a text, or the name of a key or an error of the browser's. */
const NAMES = /^(?:Enter|Esc|Escape|Tab|Space|Home|End|Delete|Shift|Control|Meta|Alt|Key[A-Z]|Arrow\w+|Page(?:Up|Down)|[A-Z]\w*Error)$/;

/** @param {string} file @param {string} text @returns {string[]} what people would read in English, whatever their language */
function englishIn(file, text) {
  if (file.endsWith('.html')) {
    const texts = [...text.matchAll(/>([^<]*)</g)].map(([, inner = '']) => inner.trim());
    const attributes = [...text.matchAll(/\s(?:aria-label|placeholder|title|alt|content)="([^"]*)"/g)].map(([, value = '']) => value);
    const own = /^(turnpike|\/r\/k7m-2pq-x9r|k7m-2pq-x9r|7-crossover-clockwork|light dark|width=device-width.*|#[0-9a-f]{6})$/; // a name, examples, and what browsers read
    return [...texts, ...attributes].filter((each) => /[A-Za-z]{2}/.test(each) && !own.test(each));
  }
  const read = text.replace(UNREAD, '');
  let whole = read; // with what is put into templates taken out, from the inside
  while (/\$\{[^{}]*\}/.test(whole)) whole = whole.replace(/\$\{[^{}]*\}/g, 'x');
  const literals = [...read.matchAll(/'((?:[^'\\\n]|\\.)*)'/g), ...whole.matchAll(/`((?:[^`\\]|\\.)*)`/g)].map(([, literal = '']) => literal);
  const command = /^turnpike receive /; // people type it as it is
  return literals.filter((each) => (/[A-Za-z’]{2,}[,.:;!?…]? [A-Za-z’]{2,}/.test(each) && !command.test(each)) || (/^[A-Z][a-z]+[.!?…]*$/.test(each) && !NAMES.test(each)));
}

test('people read nothing that is in no table', () => {
  const shown = (/** @type {string} */ file) => /\.(js|html)$/.test(file) && !/^(sdk|words|vendor|files)\/|^(qrcode|code\/(words|spake2))\.js$/.test(file);
  for (const file of files.filter(shown)) assert.deepEqual(englishIn(file, code(file)), [], file);
});

test('a text beside the tables is found, whatever its form', () => {
  const forms = ["write(this, 'h1', 'Nobody is here.');", "button.title = 'Mute';", 'write(this, `h1`, `${name} has left the ${place}`);', "label: on ? 'Turn it off' : say('x.on')", "`${many ? 'many people' : ''}`"];
  for (const form of forms) assert.equal(englishIn('elements/x.js', form).length, 1, form);
  const none = ["find(this, '.stage tp-tile video', HTMLVideoElement)", "console.warn('no QR code:', error);", "throw new Error('this is for programmers');", "event.key === 'Escape'", "say('x.on')", 'say(`x.${state}`)'];
  for (const form of none) assert.deepEqual(englishIn('elements/x.js', form), [], form);
  for (const form of ['<p>Hello</p>', '<input placeholder="Your name">', '<svg aria-label="muted">']) assert.equal(englishIn('parts/x.html', form).length, 1, form);
});

/**
 * language.js as it is in a browser whose user has chosen Chinese.
 *
 * @param {string} instance a name for this one alone
 * @returns {Promise<typeof import('../static/language.js')>}
 */
async function inChinese(instance) {
  const had = Object.getOwnPropertyDescriptor(globalThis, 'localStorage');
  Object.defineProperty(globalThis, 'localStorage', { configurable: true, value: { getItem: () => 'zh' } });
  try {
    return await import(new URL(`language.js?${instance}`, root).href);
  } finally {
    if (had) Object.defineProperty(globalThis, 'localStorage', had);
    else Reflect.deleteProperty(globalThis, 'localStorage');
  }
}

const english = { 'a.one': 'one file of {name}', 'a.other': '{count} files of {name}', 'b': 'English' };

test('Chinese words come later, and English ones stand in for them until then', async () => {
  const { addWords, wordsLoaded, say, languageTag, otherLanguage } = await inChinese('chosen');
  addWords(english, async () => ({ default: { 'a.other': '{name} 的 {count} 个文件', 'b': '中文' } }));
  assert.equal(say('b'), 'English');
  await wordsLoaded();
  assert.equal(say('b'), '中文');
  assert.equal(say('a', { count: 1, name: 'Ada' }), '\u2068Ada\u2069 的 1 个文件');
  assert.deepEqual([languageTag(), otherLanguage()], ['zh-Hans', { language: 'en', tag: 'en' }]);
});

test('if Chinese words do not load, the whole page is in English', async (t) => {
  const warned = t.mock.method(console, 'warn', () => {});
  const { addWords, wordsLoaded, say, languageTag } = await inChinese('lost');
  addWords({ 'c': 'English, too' }, async () => ({ default: { 'c': '中文' } }));
  addWords(english, () => Promise.reject(new Error('404')));
  await wordsLoaded();
  assert.deepEqual([say('b'), say('c'), say('a', { count: 1, name: 'Ada' }), languageTag()], ['English', 'English, too', 'one file of \u2068Ada\u2069', 'en']);
  assert.equal(warned.mock.callCount(), 1);
});
