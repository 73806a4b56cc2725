// @ts-check

const EMOJI = /^(?:(?:\p{RI}\p{RI}|\p{Extended_Pictographic}[\ufe0f\p{EMod}]?(?:\u200d\p{Extended_Pictographic}[\ufe0f\p{EMod}]?)*) ?){1,3}$/u;
const MAX_EMOJI = 60;

/** Whether a text is up to three emoji and nothing else. @param {string} text */
export function isEmoji(text) {
  return text.length <= MAX_EMOJI && EMOJI.test(text);
}
