// @ts-check
export default {
  'keys.title': 'Keys',
  'keys.wanted': 'Use single keys',
  'keys.why': 'Turn this off if you speak to your computer instead of typing: it might press them by mistake.',
  'keys.close': 'Close',
  'keys.talk': 'Talk for as long as you hold it, while you are muted',
  'keys.space': 'Space',
  'keys.escape': 'Close what is open',
};
