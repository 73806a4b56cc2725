// @ts-check
import { addWords } from '../language.js';
import english from './en/keys.js';

addWords(english, () => import('./zh/keys.js'));

export { asIs, canSay, locale, say, several } from '../language.js';
