// @ts-check
/** @type {import('../../language.js').Words} */
export default {
  'keys.title': '快捷键',
  'keys.wanted': '使用单键快捷键',
  'keys.why': '如果你用语音代替打字，请关闭此项：语音输入可能会误按这些键。',
  'keys.close': '关闭',
  'keys.talk': '静音时按住即可说话',
  'keys.space': '空格',
  'keys.escape': '关闭打开的面板',
};
