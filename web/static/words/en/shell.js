// @ts-check
/** What the server itself writes into pages: browsers without JavaScript, and search engines, read it too. No module imports it. */
export default {
  'shell.about': 'Talk, see and write to each other: directly if a path exists, or else through this server’s own relay.',
  'shell.noscript': 'This page needs JavaScript: your browser itself connects to the other people.',
  'shell.files-about': 'Send files to somebody, and receive what they send: from browser to browser, and to command lines.',
  'shell.files-noscript': 'This page needs JavaScript: your browser itself connects to the other person.',
  'shell.nowhere': 'Nothing here · turnpike',
  'shell.nowhere-title': 'This road ends here.',
  'shell.nowhere-text': 'There is no page at this address. If somebody sent you a link, ask them to copy it again. A room’s link looks like this:',
  'shell.nowhere-start': 'To the start',
};
