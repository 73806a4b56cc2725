// @ts-check

/** The lobby, and the lists of devices. */
export default {
  'lobby.title': 'Ready to join?',
  'lobby.room': 'Room {room}',
  'lobby.about': 'Nobody sees or hears you before you join.',
  'lobby.join': 'Join',
  'lobby.joining': 'Joining…',
  'lobby.join-without': 'Join without camera and microphone',
  'lobby.mute': 'Mute',
  'lobby.unmute': 'Unmute',
  'lobby.camera-off': 'Stop camera',
  'lobby.camera-on': 'Start camera',
  'lobby.level': 'How loud you are',
  'lobby.starting': 'The camera is starting. If your browser asks, allow it.',
  'lobby.no-picture': 'Your camera is off.',
  'lobby.camera': 'Camera',
  'lobby.camera-unknown': 'The usual camera',
  'lobby.camera-number': 'Camera {number}',
  'lobby.microphone': 'Microphone',
  'lobby.microphone-unknown': 'The usual microphone',
  'lobby.microphone-number': 'Microphone {number}',
  'lobby.only-writes': 'This browser lets no page connect to other people: WebRTC is switched off, by a setting, an extension or your organization.',
  'lobby.only-writes-about': 'You can come in to read and write. To talk, allow WebRTC or use another browser.',
};
