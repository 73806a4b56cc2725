// @ts-check
import { addWords } from '../language.js';
import english from './en/code.js';

addWords(english, () => import('./zh/code.js'));

export { asIs, canSay, locale, say, several } from '../language.js';
