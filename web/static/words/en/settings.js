// @ts-check

/** The settings in the middle of a call. */
export default {
  'settings.title': 'Settings',
  'settings.speaker': 'Speakers',
  'settings.speaker-number': 'Speakers {number}',
  'settings.sound': 'Play a sound',
  'settings.playing': 'You should hear two notes now.',
  'settings.no-sound': 'These speakers do not play. Choose others.',
  'settings.noise': 'Suppress background noise',
  'settings.mirror': 'Show me my own picture as a mirror does',
  'settings.done': 'Done',
};
