// @ts-check
export default {
  'stage.nothing-on': 'no camera or microphone',
  'stage.away': 'reconnecting…',
  'stage.muted': 'muted',
  'stage.actions': 'Actions for {name}',
  'stage.remove': 'Remove and ban {name}…',
  'stage.unblock': 'Turn the sound on',
  'stage.screen': '{name}’s screen',
  'stage.sharing': 'You share your screen',
  'stage.stop-sharing': 'Stop sharing',
  'stage.share': 'Share screen',
  'stage.pin': 'Make large',
  'stage.unpin': 'No longer large',
  'stage.move': 'Move your picture to another corner',
};
