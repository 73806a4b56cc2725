// @ts-check
import { addWords } from '../language.js';
import english from './en/reactions.js';

addWords(english, () => import('./zh/reactions.js'));

export { asIs, canSay, locale, say, several } from '../language.js';
