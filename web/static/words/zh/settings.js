// @ts-check

/** @type {import('../../language.js').Words} */
export default {
  'settings.title': '设置',
  'settings.speaker': '扬声器',
  'settings.speaker-number': '扬声器 {number}',
  'settings.sound': '播放提示音',
  'settings.playing': '现在你应该听到两个音符。',
  'settings.no-sound': '这个扬声器无法播放，请选择其他扬声器。',
  'settings.noise': '抑制背景噪音',
  'settings.mirror': '以镜像方式显示我自己的画面',
  'settings.done': '完成',
};
