// @ts-check
import { addWords } from '../language.js';
import english from './en/home.js';

addWords(english, () => import('./zh/home.js'));

export { asIs, canSay, locale, say, several } from '../language.js';
