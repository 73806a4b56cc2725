// @ts-check
/** @type {import('../../language.js').Words} */
export default {
  'stage.nothing-on': '未开摄像头和麦克风',
  'stage.away': '正在重新连接…',
  'stage.muted': '已静音',
  'stage.actions': '对 {name} 的操作',
  'stage.remove': '移出 {name} 并禁止再进…',
  'stage.unblock': '打开声音',
  'stage.screen': '{name} 的屏幕',
  'stage.sharing': '你正在共享屏幕',
  'stage.stop-sharing': '停止共享',
  'stage.share': '共享屏幕',
  'stage.pin': '放大',
  'stage.unpin': '恢复原大小',
  'stage.move': '把我的画面移到另一角',
};
