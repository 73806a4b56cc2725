// @ts-check
import { codeOf } from './sdk/error.js';

/** @typedef {{ code: string, title: string, text: string }} Words */

/** What each error means to a person, and what to do. @type {Record<string, [title: string, text: string]>} */
const WORDS = {
  'full': ['This room is full', 'It holds no more people. Wait until somebody leaves, or make a room of your own.'],
  'full-for-now': ['Waiting for a place', 'This room is full, but somebody in it has lost the connection. You come in by yourself once there is a place.'],
  'barred': ['You are signed out, and your call goes on', 'You see and hear the people who are here. Nobody can join, and you cannot come back once you leave.'],
  'locked': ['This room is locked', 'The host lets nobody else in at the moment. Ask the host to unlock it, then try again.'],
  'kicked': ['You were removed from this room', 'The host has removed you. You cannot come back while the room exists.'],
  'refused': ['You were not let in', 'The host said no for now. You can ask again.'],
  'returned': ['The people of this room are back', 'The server was started anew, and you came before them. You can ask again to come in.'],
  'not-host': ['Only the host may do that', 'Somebody else is the host of this room now.'],
  'not-in-room': ['They are no longer there', 'They left, or stopped waiting, before this reached the server.'],
  'waiting': ['Waiting to be let in', 'The host knows that you are here. The room opens by itself when the host lets you in.'],
  'not-existing': ['There is no such room', 'It may have closed when the last person left, or the id may be mistyped. You can make it now.'],
  'bad-room': ['That is not a room id', 'An id consists of letters, digits and hyphens, such as k7m-2pq-x9r. A link to a room works too.'],
  'name-taken': ['That name is taken', 'Somebody who is online uses it. Please pick another.'],
  'bad-name': ['That name cannot be used', 'Please pick another, without unusual characters.'],
  'expired': ['This invite has expired', 'Ask the person who sent it for a new link.'],
  'invite-used': ['This invite has been used', 'It was for one person, or for a few. Ask the person who sent it for a new link.'],
  'invite-revoked': ['This invite was taken back', 'Ask the person who sent it for a new link.'],
  'invite-required': ['You need an invite to come in', 'Open the link that you were sent. If you have none, ask the people who run this server.'],
  'unauthorized': ['This invite is not valid', 'The link may have been cut short. Copy it again, or ask for a new one.'],
  'forbidden': ['Your invite is not for this', 'It is for another room. Open its link again to go there.'],
  'too-many-invites': ['You have made many links', 'Take one back first, or wait until one has expired.'],
  'no-such-session': ['The server does not know you at the moment', 'Please try again once you are online.'],
  'ended': ['You were signed out', 'Your invite is no longer valid. Ask the person who sent it for a new one.'],
  'no-such-user': ['They are no longer online', 'Try again when you see them in the list.'],
  'busy': ['They are in another call', 'Try again in a while.'],
  'no-such-call': ['The call is over', 'They stopped ringing before you answered.'],
  'rate-limited': ['Too much at once', 'The server asks you to slow down. Please wait a moment and try again.'],
  'offline': ['The server cannot be reached', 'This page keeps trying. Your calls go on meanwhile.'],
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
