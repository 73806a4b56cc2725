// @ts-check
/** @type {import('../../language.js').Words} */
export default {
  'code.page': '文件 · turnpike',
};
