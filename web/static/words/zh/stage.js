// @ts-check
/** @type {import('../../language.js').Words} */
export default {};
