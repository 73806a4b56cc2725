// @ts-check
/** @type {import('../../language.js').Words} */
export default {
  'reactions.choose': '表情回应',
  'reactions.from': '{name}：{what}',
  'reactions.like': '点赞',
  'reactions.clap': '鼓掌',
  'reactions.heart': '爱心',
  'reactions.laugh': '大笑',
  'reactions.wow': '惊讶',
  'reactions.party': '庆祝',
};
