// @ts-check
/** @type {import('../../language.js').Words} */
export default {
  'shell.about': '语音、视频和文字聊天：能直连就直连，否则经由本服务器自己的中继。',
  'shell.noscript': '此页面需要 JavaScript：由你的浏览器直接与对方建立连接。',
  'shell.files-about': '给别人发送文件，或接收别人发来的文件：浏览器之间、浏览器与命令行之间都可以。',
  'shell.files-noscript': '此页面需要 JavaScript：由你的浏览器直接与对方建立连接。',
  'shell.nowhere': '页面不存在 · turnpike',
  'shell.nowhere-title': '此路不通。',
  'shell.nowhere-text': '这个地址没有页面。如果链接是别人发来的，请对方重新复制一次。房间链接的样子是：',
  'shell.nowhere-start': '返回首页',
};
