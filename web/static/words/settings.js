// @ts-check
import { addWords } from '../language.js';
import english from './en/settings.js';

addWords(english, () => import('./zh/settings.js'));

export { say } from '../language.js';
