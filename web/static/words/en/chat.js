// @ts-check
export default {
  'chat.undelivered': 'Not delivered to {names}.',
};
