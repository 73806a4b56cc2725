// @ts-check
import { addWords } from '../language.js';
import english from './en/room.js';

addWords(english, () => import('./zh/room.js'));

export { asIs, canSay, locale, say, several } from '../language.js';
