// @ts-check
export default {
  'code.page': 'Files · turnpike',
};
