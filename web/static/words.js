// @ts-check
import { codeOf } from './sdk/turnpike.js';

/** @typedef {{ code: string, title: string, text: string }} Words */

/** What errors mean to a person, and what to do. @type {Record<string, [title: string, text: string]>} */
const WORDS = {
  'full': ['This room is full', 'Everyone it has space for is in it already. Wait until somebody leaves, or make a room of your own.'],
  'locked': ['This room is locked', 'Whoever hosts it lets nobody else in just now. Ask them to unlock it, then try again.'],
  'kicked': ['You were removed from this room', 'Whoever hosts it has taken you out. You cannot come back while it lasts.'],
  'refused': ['You were not let in', 'Whoever hosts this room has said no for now. You can ask again.'],
  'not-host': ['Only the host may do that', 'Somebody else hosts this room now.'],
  'not-in-room': ['They are no longer there', 'They left or gave up waiting before this reached the server.'],
  'waiting': ['Waiting to be let in', 'Whoever hosts this room has been told that you are here. It opens by itself when they let you in.'],
  'not-existing': ['There is no such room', 'It may have closed when the last person left, or the id has a slip in it. You can make it now.'],
  'bad-room': ['That is no room id', 'An id has letters, digits and hyphens, such as k7m-2pq-x9r. A link to a room works too.'],
  'name-taken': ['That name is taken', 'Somebody who is online has it. Please pick another.'],
  'bad-name': ['That name cannot be used', 'Please pick another, without unusual characters.'],
  'expired': ['This invite has expired', 'Ask whoever sent it for a new link.'],
  'invite-used': ['This invite has been used', 'It was for one person, or for a few. Ask whoever sent it for a new link.'],
  'invite-revoked': ['This invite was taken back', 'Ask whoever sent it for a new link.'],
  'invite-required': ['You need an invite to come in', 'Open the link that you were sent. If you have none, ask whoever runs this server.'],
  'unauthorized': ['This invite is not valid', 'The link may have been cut short. Copy it again, or ask for a new one.'],
  'forbidden': ['Your invite is not for this', 'It lets you into the room that it names. Open its link again to go there.'],
  'ended': ['You were signed out', 'The invite that let you in does not hold any more. Ask whoever sent it for a new one.'],
  'no-such-user': ['They are no longer online', 'Try again when you see them in the list.'],
  'busy': ['They are in another call', 'Try again in a while.'],
  'no-such-call': ['The call is over', 'They stopped ringing before you answered.'],
  'rate-limited': ['Too much at once', 'The server asks you to slow down. Please wait a moment and try again.'],
  'offline': ['The server cannot be reached', 'Trying again by itself. Calls that are under way go on meanwhile.'],
  'timeout': ['The server took too long', 'Please try again.'],
  'slow': ['They do not receive anything', 'The connection is too slow or broken. What you wrote was not sent.'],
  'too-long': ['That message is too long', 'Please send it in parts.'],
};

/**
 * @param {unknown} error
 * @returns {Words}
 */
export function wordsFor(error) {
  const code = codeOf(error) || 'internal';
  const [title, text] = WORDS[code] ?? ['Something went wrong', error instanceof Error ? error.message : ''];
  return { code, title, text };
}

/**
 * @param {keyof typeof WORDS & string} code
 * @returns {Words}
 */
export function wordsOf(code) {
  const [title = '', text = ''] = WORDS[code] ?? [];
  return { code, title, text };
}
