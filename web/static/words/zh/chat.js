// @ts-check
/** @type {import('../../language.js').Words} */
export default {
  'chat.undelivered': '未送达 {names}。',
};
