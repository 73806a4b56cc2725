// @ts-check
export default {
  'reactions.choose': 'Reactions',
  'reactions.from': '{name}: {what}',
  'reactions.like': 'thumbs up',
  'reactions.clap': 'applause',
  'reactions.heart': 'heart',
  'reactions.laugh': 'laughter',
  'reactions.wow': 'astonishment',
  'reactions.party': 'hooray',
};
