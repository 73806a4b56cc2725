// @ts-check
// Importing `say` from here has the words of the whole page be there. Each part has a module like this one.
import { addWords } from '../language.js';
import english from './en/page.js';

addWords(english, () => import('./zh/page.js'));

export { asIs, canSay, locale, say, several } from '../language.js';
