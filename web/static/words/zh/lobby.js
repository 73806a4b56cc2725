// @ts-check

/** @type {import('../../language.js').Words} */
export default {
  'lobby.title': '准备好加入了吗？',
  'lobby.room': '房间 {room}',
  'lobby.about': '加入之前，没有人能看到你或听到你。',
  'lobby.join': '加入',
  'lobby.joining': '正在加入…',
  'lobby.join-without': '不开摄像头和麦克风加入',
  'lobby.mute': '静音',
  'lobby.unmute': '取消静音',
  'lobby.camera-off': '关闭摄像头',
  'lobby.camera-on': '打开摄像头',
  'lobby.level': '你的音量',
  'lobby.starting': '正在启动摄像头。如果浏览器询问，请选择允许。',
  'lobby.no-picture': '你的摄像头已关闭。',
  'lobby.camera': '摄像头',
  'lobby.camera-unknown': '默认摄像头',
  'lobby.camera-number': '摄像头 {number}',
  'lobby.microphone': '麦克风',
  'lobby.microphone-unknown': '默认麦克风',
  'lobby.microphone-number': '麦克风 {number}',
  'lobby.only-writes': '这个浏览器不允许网页与其他人连接：WebRTC 已被设置、扩展程序或你的组织关闭。',
  'lobby.only-writes-about': '你可以进来阅读和发送消息。想要通话，请允许 WebRTC 或换一个浏览器。',
};
